"""What production tells: health, latency, quality and drift, as findings that are rarely wrong."""
