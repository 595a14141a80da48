"""Notices of a project: its channels, and a try of each. I/O: HTTP and SMTP, to what flyball.yaml names."""

from __future__ import annotations

from typing import Any

from flyball.errors import FlyballError, InputError
from flyball.monitoring.notices.channels import Senders
from flyball.monitoring.notices.events import Event
from flyball.monitoring.notices.message import Message
from flyball.monitoring.notices.outbox import Outbox
from flyball.records.identity import uuid7
from flyball.settings import proxy_for, secret
from flyball.storage.ledger import now_ms
from flyball.wiring import Project


def outbox_of(project: Project) -> Outbox:
    """What tells the channels of flyball.yaml."""
    config = project.settings.notices
    return Outbox(ledger=project.ledger, config=config, console=_console(project), send=_senders(project).send)


def try_channels(project: Project) -> list[dict[str, Any]]:
    """Send one notice to each channel; which took it, and what the others said."""
    channels = project.settings.notices.to
    if not channels:
        raise InputError("flyball.yaml names no channel under notices.to", cure="see docs/how-to/notices.md")
    event = Event(
        id=uuid7(),
        at_ms=now_ms(),
        severity="info",
        title="a try",
        text="Somebody asked whether notices arrive here.",
        route="",
        path="/findings",
    )
    message = Message(project=project.name, console=_console(project), events=(event,))
    rows = []
    for channel in channels:
        problem = ""
        try:
            _senders(project).send(channel, message)
        except FlyballError as error:
            problem = error.message
        kind = type(channel).__struct_config__.tag
        rows.append({"channel": channel.name, "kind": kind, "sent": not problem, "problem": problem})
    return rows


def _senders(project: Project) -> Senders:
    return Senders(
        secrets=lambda reference: secret(reference, project.home, project.environment),
        proxy_for=lambda url: proxy_for(url, project.environment),
    )


def _console(project: Project) -> str:
    return project.settings.notices.console or f"http://127.0.0.1:{project.settings.console.port}"
