"""Traces: one for each request, sent over OTLP to what flyball.yaml names."""
