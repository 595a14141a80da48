"""Flyball: closed-loop LLMOps, from raw rows to a served, watched and improved language model."""

__version__ = "0.1.0"
