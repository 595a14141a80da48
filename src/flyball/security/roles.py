"""The one table of who may do what: roles as sets of verbs. Pure.

A stored key names its role; what a role may do is said here and asked by `permissions.may` alone.
"""

from __future__ import annotations

from typing import Final, Literal

Role = Literal["client", "admin"]
Verb = Literal[
    "ask",  # have a route answer, and see that it is there
    "give_feedback",  # on answers that its own key, or its team's, was given
    "give_feedback_to_any",  # on anybody's
    "read_metrics",  # of the whole gateway
    "choose_variant",  # of a route, instead of the one that the request is assigned to
    "judge",  # answers: verdicts promote releases
]
"""All that can be allowed."""

_CLIENT: Final = ("ask", "give_feedback", "read_metrics")
ROLES: Final[dict[str, frozenset[str]]] = {
    "client": frozenset(_CLIENT),
    "admin": frozenset((*_CLIENT, "give_feedback_to_any", "choose_variant", "judge")),
}
