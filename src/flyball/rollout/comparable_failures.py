"""Like with like: failures at requests of a kind at which live fails too are no evidence against a candidate. Pure.

What acts at once (the first ten requests, the watch for an outage) looks at one arm alone, so that it has to know what
both would fail at: an endpoint that neither has, streams that a proxy cuts, a limit of a server that both share. The
tests of two arms need no such care: a unit joins either arm by chance, whatever it asks for.
"""

from __future__ import annotations

from collections import deque

from flyball.records import RequestRecord

LEAST_REQUESTS = 3
"""Of live, of one kind, before its failures excuse anybody's."""
LEAST_SHARE = 0.5
"""A kind that live fails at less often than this is one that it can do."""
LAST = 50
"""Requests of live that are looked at, of one kind."""
NEAR_MS = 60_000
"""What live failed at longer ago may be over."""
Kind = tuple[str, bool]


def kind_of(record: RequestRecord) -> Kind:
    """What a request is like: the endpoint that was asked, and whether for a stream."""
    return record.kind, record.stream


class LiveByKind:
    """How live's last requests of each kind ended."""

    def __init__(self) -> None:
        self._seen: dict[Kind, deque[tuple[int, bool]]] = {}

    def take(self, record: RequestRecord, failed: bool) -> None:
        """Take in a request of live."""
        self._seen.setdefault(kind_of(record), deque(maxlen=LAST)).append((record.started_ms, failed))

    def fails_at(self, kind: Kind, at_ms: int) -> bool:
        """Whether live failed at requests of this kind, more often than not, about that time or since."""
        near = [failed for started_ms, failed in self._seen.get(kind, ()) if started_ms >= at_ms - NEAR_MS]
        return len(near) >= LEAST_REQUESTS and sum(near) >= LEAST_SHARE * len(near)
