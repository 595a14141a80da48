"""A notice: several events as one message, in words and as JSON. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flyball.monitoring.notices.events import Event
from flyball.records import JSON

SHOWN = 20
"""Events that one message tells of in full; the others are counted."""
_ORDER = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Events of a project that are told together; `id` is that of the same events sent again."""

    project: str
    console: str
    events: tuple[Event, ...]

    @property
    def id(self) -> str:
        return "msg_" + hashlib.sha256("\n".join(event.id for event in self.events).encode()).hexdigest()[:24]

    @property
    def subject(self) -> str:
        """One line: the most urgent event, and how many more there are."""
        first = self._ordered[0]
        more = f" and {len(self.events) - 1} more" if len(self.events) > 1 else ""
        return " ".join(f"[{self.project}] {first.severity}: {first.title}{more}".split())

    @property
    def lines(self) -> list[tuple[Event, str]]:
        """Each event that is shown, with the URL of its page."""
        return [(event, f"{self.console.rstrip('/')}{event.path}") for event in self._ordered[:SHOWN]]

    @property
    def unshown(self) -> int:
        return max(0, len(self.events) - SHOWN)

    @property
    def text(self) -> str:
        """The whole as plain text."""
        parts = [
            f"{event.severity.upper()}  {event.title}  ({moment(event.at_ms)})\n{event.text}\n{url}\n"
            for event, url in self.lines
        ]
        if self.unshown:
            parts.append(f"and {self.unshown} more: flyball watch\n")
        return "\n".join(parts)

    @property
    def document(self) -> dict[str, JSON]:
        """The whole for programs; times are RFC 3339."""
        return {
            "type": "flyball.notice",
            "timestamp": moment(self.events[-1].at_ms),
            "data": {
                "project": self.project,
                "subject": self.subject,
                "events": [
                    {
                        "id": event.id,
                        "at": moment(event.at_ms),
                        "severity": event.severity,
                        "title": event.title,
                        "text": event.text,
                        "route": event.route,
                        "url": url,
                    }
                    for event, url in self.lines
                ],
                "unshown": self.unshown,
            },
        }

    @property
    def _ordered(self) -> Sequence[Event]:
        return sorted(self.events, key=lambda event: (_ORDER.index(event.severity), event.at_ms))


def moment(at_ms: int) -> str:
    """A time in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
