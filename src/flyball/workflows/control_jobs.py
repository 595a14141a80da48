"""What control is given: the monitors, the triggers and retention of this project, as callables. I/O: builds them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache

from flyball.compliance.retention import expire
from flyball.control.context import ControlContext
from flyball.data.text_profile import Profile, read_profile
from flyball.errors import NotFoundError
from flyball.improvement.triggers import propose
from flyball.monitoring.budget_findings import watch_budgets
from flyball.monitoring.health import evaluated_quality
from flyball.monitoring.monitor import LiveView
from flyball.monitoring.monitor_runs import run_monitors
from flyball.records import Finding, Proposal, Release
from flyball.settings import proxy_for, secret
from flyball.telemetry import log
from flyball.wiring import Project
from flyball.workflows.engine_terms import EngineTerms
from flyball.workflows.judge_program import JudgeProgram
from flyball.workflows.notices import outbox_of
from flyball.workflows.release_preparation import in_prepared
from flyball.workflows.traces import exporter_of


def control_context(project: Project) -> ControlContext:
    """Everything one control process of this project needs."""
    ledger, settings, places = project.ledger, project.settings, project.places
    exporter = exporter_of(project)

    @lru_cache(maxsize=8)
    def view(release: str) -> LiveView:
        return live_view(project, release)

    def watch(route: str, release: str) -> Sequence[Finding]:
        found = run_monitors(ledger, config=settings.monitor, route=route, live=view(release))
        return [*found, *watch_budgets(ledger)]

    def suggest(route: str, findings: Sequence[Finding]) -> Proposal | None:
        return propose(ledger, config=settings.improve, route=route, findings=findings)

    def retain(now_ms: int) -> object:
        return expire(ledger, now_ms, retention_days=settings.gateway.recording.retention_days)

    return ControlContext(
        ledger=ledger,
        project=project.name,
        rollout=settings.rollout,
        serving=settings.serving,
        monitor=settings.monitor,
        artifacts=project.artifacts,
        signers=project.signers,
        run_dir=places.run,
        log_dir=places.logs,
        routes_path=places.routes,
        segments_dir=places.segments,
        holder=f"{socket.gethostname()}:{project.root}",
        secrets=lambda reference: secret(reference, project.root, project.environment),
        proxy_for=lambda url: proxy_for(url, project.environment),
        home=str(project.root),
        terms=EngineTerms(project).of,
        watch=watch,
        propose=suggest,
        retention=retain,
        judge=JudgeProgram(project, settings.rollout.judge).judge if settings.rollout.judge else None,
        notify=outbox_of(project).send_due if settings.notices.to else None,
        notify_every_s=settings.notices.every_s,
        export=exporter.send_due if exporter else None,
        export_every_s=settings.traces.every_s,
        on_proposal=(lambda proposal: accept_in_background(project, proposal),),
    )


def live_view(project: Project, release: str) -> LiveView:
    """What monitoring compares production with: the evaluated quality and the training data's words."""
    profile = profile_of(project, release)
    record = project.ledger.get(release).record
    preparation = record.preparation if isinstance(record, Release) else None
    return LiveView(
        release=release,
        quality=evaluated_quality(project.ledger, release),
        new_word_share=profile.new_word_share if profile else None,
        has_new_word=in_prepared(profile.has_new_word, preparation) if profile else None,
    )


def profile_of(project: Project, release: str) -> Profile | None:
    """The profile packaged with the release's model; None for an imported model."""
    record = project.ledger.get(release).record
    if not isinstance(record, Release):
        return None
    try:
        return read_profile(project.artifacts.path(record.model) / "profile.json", project.key.row_key)
    except NotFoundError:
        return None


def accept_in_background(project: Project, proposal: Proposal) -> None:
    """Start the retraining that a proposal asks for, where the project said that nobody need say yes."""
    if not project.settings.improve.automatic or proposal.action != "retrain":
        return
    path = project.places.logs / "improve.log"
    with path.open("ab") as output:
        subprocess.Popen(
            [sys.executable, "-m", "flyball", "improve", "--accept", proposal.id, "-C", str(project.root)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    log.info("proposal %s accepted automatically; see %s", proposal.id, path)
