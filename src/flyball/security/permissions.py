"""The one check of who may do what. Pure."""

from __future__ import annotations

from typing import Final

from flyball.security.principals import Principal
from flyball.security.roles import ROLES, Verb

ALL_ROUTES: Final = "*"
"""For what tells of every route at once: a key that is limited to some may not."""
_NOTHING: Final[frozenset[str]] = frozenset()


def may(principal: Principal, verb: Verb, route: str | None = None) -> bool:
    """Whether a principal may do this on this route: by its role (roles.py), and by the routes that its key names.

    None: the verb is about no route, or nobody knows about which; then the role alone decides.
    """
    if verb not in ROLES.get(principal.role, _NOTHING):  # an unknown role may nothing
        return False
    routes = principal.routes
    return not routes or route is None or route in routes
