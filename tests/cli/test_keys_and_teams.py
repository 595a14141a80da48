"""`flyball key` and `flyball team`, as an administrator uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from refusals import refused
from small_shop import flyball, ok, ok_lines

STATE = ("--state", "state")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ok("key", "create", "admin", "--admin", *STATE, cwd=tmp_path)  # makes the state
    return tmp_path


def test_a_team_keeps_the_limits_that_are_not_named_and_none_lifts_one(folder: Path) -> None:
    made = ok("team", "set", "support", "--budget-usd", "50", "--requests-per-minute", "600", *STATE, cwd=folder)
    assert (made["name"], made["budget_usd"], made["requests_per_minute"]) == ("support", 50.0, 600)
    changed = ok("team", "set", "support", "--concurrency", "8", *STATE, cwd=folder)
    assert (changed["budget_usd"], changed["requests_per_minute"], changed["concurrency"]) == (50.0, 600, 8)
    lifted = ok("team", "set", "support", "--requests-per-minute", "none", *STATE, cwd=folder)
    assert lifted["requests_per_minute"] is None and lifted["budget_usd"] == 50.0
    assert [(team["name"], team["keys"]) for team in ok_lines("team", "list", *STATE, cwd=folder)] == [("support", 0)]
    table = flyball("team", "list", *STATE, cwd=folder)
    assert table.code == 0 and "support" in table.out and "BUDGET USD" in table.out


def test_a_team_with_living_keys_is_not_removed(folder: Path) -> None:
    ok("team", "set", "support", "--budget-usd", "50", *STATE, cwd=folder)
    key = ok("key", "create", "app", "--team", "support", *STATE, cwd=folder)
    said = refused("team", "remove", "support", *STATE, cwd=folder, code=3)
    assert "1 keys of the team support" in said and "flyball key list" in said
    ok("key", "revoke", key["id"], *STATE, cwd=folder)
    assert ok("team", "remove", "support", *STATE, cwd=folder) == {"name": "support", "removed": True}
    assert flyball("team", "list", "--json", *STATE, cwd=folder).out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "cause", "cure"),
    [
        (("set", "support", "--budget-usd", "much"), 2, "much", "flyball team set --help"),
        (("set", "support", "--concurrency", "-1"), 2, "-1", ""),
        (("set", " "), 2, "' '", ""),
        (("remove", "nobody"), 4, "nobody", "flyball team list"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    folder: Path, arguments: tuple[str, ...], code: int, cause: str, cure: str
) -> None:
    said = refused("team", *arguments, *STATE, cwd=folder, code=code)
    assert cause in said and cure in said
    assert flyball("team", "list", "--json", *STATE, cwd=folder).out == ""


def test_a_secret_is_shown_once_and_nowhere_kept(folder: Path) -> None:
    made = ok("key", "create", "app", *STATE, cwd=folder)
    listed = flyball("key", "list", "--json", *STATE, cwd=folder)
    assert made["id"] in listed.out and made["secret"] not in listed.out
    secret = made["secret"].encode()
    assert not [path for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_a_given_secret_is_not_printed_and_makes_one_key(folder: Path) -> None:
    secret = "fb-" + "0123456789abcdef" * 2
    create = ("key", "create", "ops", "--admin", "--secret", "env:OPS_KEY", "--json", *STATE)
    first, again = (flyball(*create, cwd=folder, environment={"OPS_KEY": secret}) for _ in range(2))
    assert first.json == again.json and set(first.json) == {"id", "name"}
    assert secret not in first.out + first.err
    assert "OPS_KEY is not set" in refused(*create, cwd=folder, code=2)
