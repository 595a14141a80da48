"""The loop's way back: do what a proposal asks for; send feedback. I/O: ledger, loop/corrections.jsonl, gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from flyball.errors import EnvironmentMissing, InputError, NotFoundError
from flyball.improvement.curation import curate
from flyball.improvement.triggers import ANSWERS
from flyball.inference.http_client import beside
from flyball.records import Proposal
from flyball.settings import secret
from flyball.supervision.run_file import read_note
from flyball.telemetry import Progress
from flyball.wiring import Project
from flyball.workflows.run import RunResult, run


def accept_proposal(project: Project, name: str, *, progress: Progress, say: Callable[[str], None]) -> RunResult:
    """Curate corrected answers, retrain, gate and deploy what passes; the dataset is linked to its proposal."""
    proposal = find_proposal(project, name)
    if proposal.action != "retrain":
        raise InputError(
            f"proposal {proposal.id} asks for a person's {proposal.action}, not for retraining",
            cure="look at its findings with `flyball watch`",
        )
    curated = curate(
        project.ledger, config=project.settings.data.production, out=project.places.corrections, route=proposal.route
    )
    left_out = ", ".join(f"{count} {reason}" for reason, count in curated.skipped.items() if count)
    say(
        f"{curated.rows} corrected answers, {curated.new} of them new" + (f"; left out: {left_out}" if left_out else "")
    )
    result = run(
        project,
        route=proposal.route,
        strategy="canary",
        reason=f"proposal {proposal.id}: {proposal.rationale}",
        progress=progress,
        say=say,
    )
    project.ledger.append(result.build.dataset, links=[(ANSWERS, proposal.id)])
    return result


def find_proposal(project: Project, name: str) -> Proposal:
    """A proposal by its id; `latest`: the newest one."""
    if name == "latest":
        newest = project.ledger.find(Proposal, limit=1)
        if not newest:
            raise NotFoundError("there is no proposal", cure="see `flyball watch` for what monitoring found")
        record = newest[0].record
    else:
        record = project.ledger.get(name).record
    if not isinstance(record, Proposal):
        raise InputError(f"{name} is a {type(record).__name__}, not a proposal", cure="see `flyball improve`")
    return record


def send_feedback(project: Project, body: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """Post feedback to the gateway of `flyball up`."""
    note = read_note(project.places.run)
    if note is None:
        raise EnvironmentMissing("no gateway runs in this project", cure="start it with `flyball up`")
    headers = {"authorization": f"Bearer {secret(key, project.root, project.environment)}"} if key else {}
    gateway = beside(note.gateway, headers=headers, timeout_s=10.0)
    try:
        status, answer = gateway.post("/v1/feedback", msgspec.json.encode(body))
    finally:
        gateway.close()
    document: dict[str, Any] = msgspec.json.decode(answer)
    if status >= 400:
        raise InputError(str(document["error"]["message"]), cure="check the request id and your key (--key)")
    return document
