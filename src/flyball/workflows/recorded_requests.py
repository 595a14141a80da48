"""Recorded requests that can be asked again, and what the right answer to them is where somebody said. I/O: ledger.

A truth is a correction, or a label by a judge. A recorded answer that was judged good is none: only the release that
gave it could then be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from flyball.records import JSON, Feedback, RequestRecord, parse
from flyball.storage import tables
from flyball.storage.payload_texts import correction_text
from flyball.storage.traffic import search_requests
from flyball.wiring import Project
from flyball.workflows.request_texts import texts_of

LOOKED_AT = 20
"""Requests looked at, in multiples of those asked for: many may be erased, refused or mirrored."""
_PAGE = 500
_IDS_PER_QUERY = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One recorded request: the body to send again, and the right answer where somebody said."""

    id: str
    seq: int
    cluster: str
    body: Mapping[str, JSON]
    truth: str | None


def recorded_requests(project: Project, route: str, *, limit: int) -> list[Recorded]:
    """The newest requests of a route whose texts are there, at most `limit`; originals where the project permits."""
    found: list[Recorded] = []
    for page in _pages(project, route, limit):
        texts = texts_of(project, [record.id for _, record in page], purpose="replay")
        truths = truths_of(project, list(texts))
        found += [
            Recorded(
                id=record.id,
                seq=seq,
                cluster=record.conversation or record.unit,
                body={"messages": texts[record.id]["messages"]},
                truth=truths.get(record.id),
            )
            for seq, record in page
            if isinstance(texts.get(record.id, {}).get("messages"), list)
        ]
        if len(found) >= limit:
            break
    return found[:limit]


def _pages(project: Project, route: str, limit: int) -> Iterator[list[tuple[int, RequestRecord]]]:
    before: int | None = None
    for _ in range(0, LOOKED_AT * limit, _PAGE):
        seen = search_requests(project.ledger, route=route, limit=_PAGE, before_seq=before)
        yield [(one.seq, one.record) for one in seen if _is_traffic(one.record)]
        if len(seen) < _PAGE:
            return
        before = seen[-1].seq


def _is_traffic(record: RequestRecord) -> bool:
    return record.outcome != "refused" and not (record.mirrors or record.forced)


def truths_of(project: Project, requests: Sequence[str]) -> dict[str, str]:
    """The right answer to each request, by the last word of the person who gave one."""
    said: dict[str, Feedback] = {}
    column = tables.feedback.c
    with project.ledger.read() as connection:
        for start in range(0, len(requests), _IDS_PER_QUERY):
            ids = requests[start : start + _IDS_PER_QUERY]
            query = select(column.body).where(column.project == project.name, column.request.in_(ids))
            for body in connection.execute(query.order_by(column.seq)).scalars():
                one = parse(bytes(body), Feedback)
                if one.request and (one.has_correction or (one.judge and one.label)):
                    said[one.request] = one
    corrections = texts_of(project, [one.id for one in said.values() if one.has_correction], purpose="replay")
    truths = {
        request: correction_text(corrections.get(one.id, {})) if one.has_correction else one.label
        for request, one in said.items()
    }
    return {request: truth for request, truth in truths.items() if truth}
