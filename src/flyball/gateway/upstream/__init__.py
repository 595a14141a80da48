"""The gateway's way to endpoints: choosing one, asking it, reading what it answers."""
