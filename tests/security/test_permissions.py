"""The one check of who may do what: by role, and by the routes of a key."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

import flyball
from flyball.security.permissions import ALL_ROUTES, may
from flyball.security.principals import LOCAL, Principal
from flyball.security.roles import ROLES, Role, Verb

CLIENT = Principal(id="k", name="shop", role="client")
SOURCES = Path(flyball.__file__).parent
ONLY_ADMIN = {"give_feedback_to_any", "choose_variant", "judge"}


@pytest.mark.parametrize("verb", get_args(Verb))
def test_a_client_may_ask_and_give_feedback_and_an_admin_may_all(verb: Verb) -> None:
    assert may(LOCAL, verb, "shop")
    assert may(CLIENT, verb, "shop") is (verb not in ONLY_ADMIN)


def test_the_table_has_every_role_and_names_no_verb_that_there_is_not() -> None:
    assert set(ROLES) == set(get_args(Role))
    assert set().union(*ROLES.values()) == set(get_args(Verb))


def test_a_key_with_routes_may_use_only_those_and_sees_nothing_that_tells_of_all() -> None:
    limited = replace(CLIENT, routes=("a",))
    assert may(limited, "ask", "a") and not may(limited, "ask", "b")
    assert not may(limited, "read_metrics", ALL_ROUTES) and may(CLIENT, "read_metrics", ALL_ROUTES)
    assert may(limited, "give_feedback")  # a request's id does not tell its route
    assert may(LOCAL, "ask", "anything")


def test_a_role_of_a_later_version_may_do_nothing() -> None:
    unknown = replace(CLIENT, role="auditor")  # type: ignore[arg-type]
    assert not any(may(unknown, verb) for verb in get_args(Verb))


def test_nobody_else_asks_for_a_role() -> None:
    """`principal.role == …` outside security is a second check, which somebody forgets to change."""
    found = [
        f"{path.relative_to(SOURCES)}:{node.lineno}"
        for path in SOURCES.rglob("*.py")
        if path.parent.name != "security"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and any(isinstance(one, ast.Constant) and one.value in ROLES for one in (node.left, *node.comparators))
        and any(isinstance(one, ast.Attribute) and one.attr == "role" for one in (node.left, *node.comparators))
    ]
    assert found == []
