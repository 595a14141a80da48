"""Kinds of engines, one file each: settings, start, requests, memory. Nothing else names a kind."""
