"""Rollouts: the gate that admits a release, and the machine that puts it before users and takes it back."""
