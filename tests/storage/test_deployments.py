"""Deployments: a history that only grows, and one pointer per route."""

from __future__ import annotations

import pytest

from flyball.records import Transition
from flyball.storage import deployments
from flyball.storage.ledger import Ledger
from record_samples import deployment_record


def step(ledger: Ledger, deployment: str, state: str, number: int = 0) -> Transition:
    transition = Transition(deployment=deployment, state=state, step=number, evidence={"größe": [1.5, None]})  # type: ignore[arg-type]
    with ledger.begin() as connection:
        deployments.add_transition(connection, "shop", transition, epoch=3)
    return transition


def test_a_history_comes_back_in_order_with_its_evidence(ledger: Ledger) -> None:
    steps = [step(ledger, "d1", state, n) for n, state in enumerate(("requested", "starting", "live"))]
    step(ledger, "d2", "requested")
    assert [transition for transition, _ in deployments.history(ledger, "d1")] == steps
    assert all(at_ms > 1_700_000_000_000 for _, at_ms in deployments.history(ledger, "d1"))


@pytest.mark.parametrize(
    "state", ["requested", "starting", "ramping", "paused", "live", "rolled_back", "failed", "retired"]
)
def test_a_deployment_is_open_until_its_last_state_decides(ledger: Ledger, state: str) -> None:
    deployment = deployment_record()
    ledger.append(deployment)
    assert [stored.id for stored in deployments.open_deployments(ledger)] == [deployment.id]
    step(ledger, deployment.id, "requested")
    step(ledger, deployment.id, state, 1)
    expected = [] if state in deployments.CLOSED else [deployment.id]
    assert [stored.id for stored in deployments.open_deployments(ledger)] == expected


def test_a_route_without_a_release_points_nowhere(ledger: Ledger) -> None:
    assert deployments.pointer(ledger, "shop") is None
    assert deployments.live_deployment(ledger, "shop") is None
    assert deployments.routes(ledger) == []


def test_moving_a_pointer_keeps_what_was_live_and_moving_twice_moves_once(ledger: Ledger) -> None:
    deployment = deployment_record()
    ledger.append(deployment)
    with ledger.begin() as connection:
        deployments.move_pointer(connection, "shop", "shop", release="r1", deployment=deployment.id)
    for _ in range(2):
        with ledger.begin() as connection:
            deployments.move_pointer(connection, "shop", "shop", release="r2", deployment="d2")
    assert deployments.pointer(ledger, "shop") == deployments.Pointer(
        route="shop",
        live_release="r2",
        live_deployment="d2",
        previous_release="r1",
        previous_deployment=deployment.id,
        version=2,
    )
    with ledger.begin() as connection:
        deployments.move_pointer(connection, "shop", "shop", release="r1", deployment=deployment.id)
    found = deployments.live_deployment(ledger, "shop")
    assert found is not None and found.record == deployment
    assert deployments.routes(ledger) == ["shop"]
