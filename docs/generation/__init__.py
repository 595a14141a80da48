"""Reference pages from the code: what the site says of settings, commands, records, metrics and routes."""
