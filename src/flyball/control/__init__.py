"""The control plane: one small process that holds the lease, moves deployments, keeps engines and publishes routes."""
