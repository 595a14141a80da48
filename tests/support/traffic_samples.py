"""Traffic for tests of monitoring, improvement and compliance: written as the ingester writes it, without a gateway."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection

from flyball.privacy.redaction import redact
from flyball.records import Feedback, RequestRecord
from flyball.records.identity import uuid7
from flyball.records.runtime import RequestKind
from flyball.security.keys import ProjectKey
from flyball.security.sealing import SubjectKeys, seal
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import add_feedback
from traffic_rows import add_payload, add_request

RELEASE = "a" * 64
ROUTE = "shop"
START_MS = 1_790_000_000_000
WEEK_MS = 7 * 86_400_000


class Traffic:
    """Customers of one ledger; every method is one transaction, like a pass of the ingester."""

    def __init__(self, ledger: Ledger, key: ProjectKey | None = None) -> None:
        self.ledger = ledger
        self.key = key or ProjectKey(b"k" * 32)
        self._count = itertools.count()

    def ask(self, text: str = "where is my order", **more: Any) -> str:
        """One request; see `ask_many`."""
        return self.ask_many([text], **more)[0]

    def ask_many(
        self,
        texts: Sequence[str],
        *,
        answer: str = "orders",
        user: str | None = None,
        users: Sequence[str | None] | None = None,
        release: str = RELEASE,
        route: str = ROUTE,
        outcome: Literal["ok", "error", "aborted", "cut", "refused"] = "ok",
        key_id: str = "local",
        client_id: str | None = None,
        total_ms: float = 20.0,
        at_ms: int | None = None,
        variant: str = "live",
        kind: RequestKind = "chat",
        cause: str | None = None,
    ) -> list[str]:
        """Requests in one transaction, each by `user` or by its own of `users`; their ids."""
        names = []
        with self.ledger.begin() as connection:
            for index, text in enumerate(texts):
                person = users[index] if users else user
                record = self._request(
                    started_ms=at_ms if at_ms is not None else START_MS + next(self._count),
                    subject=self.key.hash("subject", person) if person else None,
                    release=release,
                    route=route,
                    outcome=outcome,
                    key_id=key_id,
                    client_id=client_id,
                    total_ms=total_ms,
                    variant=variant,
                    kind=kind,
                    cause=cause,
                )
                add_request(connection, record)
                texts_ = {"messages": [{"role": "user", "content": text}], "answer": answer}
                self._payload(connection, record.id, record.subject or record.id, texts_, record.started_ms)
                names.append(record.id)
        return names

    def say(
        self,
        request: str | None,
        *,
        score: float | None = None,
        label: str | None = None,
        correction: str | None = None,
        comment: str | None = None,
        user: str | None = None,
        key_id: str = "local",
        client_id: str | None = None,
        at_ms: int | None = None,
        judge: str | None = None,
    ) -> str:
        """One feedback, or a judge's verdict; its id."""
        at = at_ms if at_ms is not None else START_MS + next(self._count)
        record = Feedback(
            id=uuid7(now_ms=at),
            project=self.ledger.project,
            request=request,
            client_id=client_id,
            key_id=key_id,
            score=score,
            label=label,
            has_correction=correction is not None,
            has_comment=comment is not None,
            at_ms=at,
            judge=judge,
        )
        with self.ledger.begin() as connection:
            add_feedback(connection, record)
            if correction is not None or comment is not None:
                subject = self.key.hash("subject", user) if user else request or record.id
                self._payload(connection, record.id, subject, {"correction": correction, "comment": comment}, at)
        return record.id

    def _request(self, *, started_ms: int, **given: Any) -> RequestRecord:
        return RequestRecord(
            id=uuid7(now_ms=started_ms),
            project=self.ledger.project,
            deployment=None,
            endpoint="chat",
            team=None,
            conversation=None,
            unit=given["subject"] or given["key_id"],
            started_ms=started_ms,
            queue_ms=0.0,
            first_token_ms=given["total_ms"] / 2,
            longest_gap_ms=None,
            attempts=1,
            status=200 if given["outcome"] == "ok" else 502,
            error=None,
            finish_reason="stop",
            stream=False,
            prompt_tokens=10,
            completion_tokens=2,
            cost_usd=0.001,
            **given,
        )

    def _payload(self, connection: Connection, name: str, subject: str, texts: dict[str, Any], at_ms: int) -> None:
        key = SubjectKeys(self.key).get_or_create(connection, self.ledger.project, subject)
        add_payload(
            connection,
            id=name,
            project=self.ledger.project,
            subject=subject,
            sealed=seal(key, msgspec.json.encode(texts), context=name.encode()),
            redacted=redact(msgspec.json.encode(texts).decode(), "default").text,
            expires_ms=at_ms + WEEK_MS,
        )
