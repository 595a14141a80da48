"""A canary under way and its traffic, written as control and the ingester write it, for tests of judging and replay."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from flyball.privacy.redaction import redact
from flyball.records import Deployment, RequestRecord, Transition
from flyball.security.keys import ProjectKey
from flyball.security.sealing import SubjectKeys, seal
from flyball.settings import parse_settings
from flyball.storage.deployments import add_transition
from flyball.storage.ledger import Ledger
from flyball.wiring import Project
from record_samples import deployment_record, request_record
from traffic_rows import add_payload, add_request

KEY = b"k" * 32
SECRET = "flyball-project-key-1:" + base64.urlsafe_b64encode(KEY).decode()
DAY_MS = 86_400_000


def project_on(ledger: Ledger, root: Path, **settings: Any) -> Project:
    """A project in a folder of its own, over a ledger that is open already."""
    root.mkdir(parents=True, exist_ok=True)
    document = {"version": 1, "project": "shop", "data": {"sources": [{"path": "rows.jsonl"}]}, **settings}
    document["security"] = {"project_key": "env:SHOP_KEY"}
    project = Project(root=root, settings=parse_settings(document), environment={"SHOP_KEY": SECRET})
    project.__dict__["ledger"] = ledger
    return project


@dataclass
class Canary:
    """One canary: `ask` puts requests into either arm."""

    ledger: Ledger
    began_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000 - 10_000)
    deployment: Deployment = field(
        default_factory=lambda: deployment_record(strategy="canary", plan={"steps": [0.1, 0.5]}, replaces="old")
    )

    def __post_init__(self) -> None:
        with self.ledger.begin() as connection:
            self.ledger.append(self.deployment, connection=connection)
        for state in ("requested", "starting", "ramping"):
            self.move(state)

    @classmethod
    def mirrored(cls, ledger: Ledger) -> Canary:
        """A shadow, which a canary follows."""
        steps = [{"variant": "shadow", "share": 1.0}, {"variant": "canary", "share": 0.5}]
        return cls(ledger, deployment=deployment_record(strategy="shadow", plan={"steps": steps}, replaces="old"))

    def copied(self, unit: str, *, answer: str = "orders", **copy: Any) -> tuple[RequestRecord, RequestRecord]:
        """An answered request of a unit, and the shadow's copy of it."""
        original = self.ask(unit)
        return original, self.ask(unit, answer=answer, canary=True, variant="shadow", mirrors=original.id, **copy)

    def move(self, state: str, step: int = 0) -> None:
        transition = Transition(deployment=self.deployment.id, state=state, step=step, evidence={})  # type: ignore[arg-type]
        with self.ledger.begin() as connection:
            add_transition(connection, self.ledger.project, transition, epoch=0)

    def ask(
        self, unit: str, *, text: str = "where is my order?", answer: str = "orders", canary: bool = False, **more: Any
    ) -> RequestRecord:
        """One answered request of a unit."""
        values = {"deployment": self.deployment.id if canary else "old", "started_ms": now_ms(), "unit": unit, **more}
        record = request_record(**values)
        subject = record.subject or record.id
        texts = msgspec.json.encode({"messages": [{"role": "user", "content": text}], "answer": answer})
        with self.ledger.begin() as connection:
            add_request(connection, record)
            key = SubjectKeys(ProjectKey(KEY)).get_or_create(connection, self.ledger.project, subject)
            add_payload(
                connection,
                id=record.id,
                project=self.ledger.project,
                subject=subject,
                sealed=seal(key, texts, context=record.id.encode()),
                redacted=redact(texts.decode(), "default").text,
                expires_ms=record.started_ms + DAY_MS,
            )
        return record


def now_ms() -> int:
    """Now; transitions are stored a moment before the requests of a test are asked."""
    return time.time_ns() // 1_000_000 + 1
