"""The fixture `shop`: a project with real engines."""

from control_shop import shop

__all__ = ["shop"]
