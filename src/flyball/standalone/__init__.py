"""`flyball gateway`: the gateway alone, without a project."""
