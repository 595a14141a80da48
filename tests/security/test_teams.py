"""Teams: limits for all their keys together, carried by the keyring, changed and removed under audit."""

from __future__ import annotations

import pytest

from flyball.errors import InputError, NotFoundError, RefusedError
from flyball.security import audit
from flyball.security.principals import Allowance, create_key, load_keyring, revoke_key
from flyball.security.teams import list_teams, remove_team, set_team
from flyball.storage.ledger import Ledger, open_ledger


def test_a_key_carries_the_limits_of_its_team_as_they_stand(ledger: Ledger) -> None:
    made, secret = create_key(ledger, name="bot", team="größe", budget_usd=1.0)
    assert made.team_limits is None
    set_team(ledger, "größe", {"budget_usd": 5.0, "concurrency": 4})
    found = load_keyring(ledger).find(secret)
    assert found is not None and found.team_limits == Allowance(budget_usd=5.0, concurrency=4)
    assert found.budget_usd == 1.0


def test_setting_changes_only_what_is_named_and_none_lifts_a_limit(ledger: Ledger) -> None:
    set_team(ledger, "support", {"budget_usd": 5.0, "requests_per_minute": 60})
    assert set_team(ledger, "support", {"budget_usd": 9.0}) == Allowance(budget_usd=9.0, requests_per_minute=60)
    assert set_team(ledger, "support", {"requests_per_minute": None}) == Allowance(budget_usd=9.0)
    assert [team.limits for team in list_teams(ledger)] == [Allowance(budget_usd=9.0)]


def test_a_team_with_living_keys_is_not_removed_because_they_would_lose_its_limits(ledger: Ledger) -> None:
    set_team(ledger, "support", {"budget_usd": 5.0})
    made, _ = create_key(ledger, name="bot", team="support")
    create_key(ledger, name="old", team="support", expires_ms=1)
    with pytest.raises(RefusedError, match="1 keys of the team support"):
        remove_team(ledger, "support")
    revoke_key(ledger, made.id)
    remove_team(ledger, "support", actor="ann")
    assert list_teams(ledger) == []
    with pytest.raises(NotFoundError, match="flyball team list"):
        remove_team(ledger, "support")


def test_who_set_and_removed_a_team_is_in_the_audit_log(ledger: Ledger) -> None:
    set_team(ledger, "support", {"budget_usd": 5.0}, actor="ann")
    remove_team(ledger, "support", actor="bob")
    entries = audit.entries(ledger)
    assert [(entry.action, entry.actor, entry.subject) for entry in entries] == [
        ("team.remove", "bob", "support"),
        ("team.set", "ann", "support"),
    ]


def test_teams_of_another_project_are_not_seen(ledger: Ledger, ledger_url: str) -> None:
    set_team(ledger, "support", {"budget_usd": 5.0})
    other = open_ledger(ledger_url, project="other")
    _, secret = create_key(other, name="bot", team="support")
    found = load_keyring(other).find(secret)
    assert found is not None and found.team_limits is None
    assert list_teams(other) == []
    other.close()


@pytest.mark.parametrize("name", ["", " x", "x" * 91, "a\nb"])
def test_a_name_that_no_team_can_have_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(InputError):
        set_team(ledger, name, {"budget_usd": 5.0})
    with pytest.raises(InputError):
        create_key(ledger, name="bot", team=name)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_makes_no_sense_is_refused_and_nothing_is_stored(ledger: Ledger, value: float) -> None:
    with pytest.raises(InputError):
        set_team(ledger, "support", {"budget_usd": value})
    assert list_teams(ledger) == []


def test_a_keyring_that_did_not_change_is_the_same_object_and_one_that_did_is_not(ledger: Ledger) -> None:
    create_key(ledger, name="bot", team="support")
    first = load_keyring(ledger)
    assert load_keyring(ledger, last=first) is first
    set_team(ledger, "support", {"concurrency": 1})
    assert load_keyring(ledger, last=first) is not first
