"""Rules, tests, dashboards and server files for Prometheus, Alertmanager and Grafana, as plain data."""
