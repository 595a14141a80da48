"""Sends what is due to each channel and keeps how far each was told. I/O: the ledger, and what sends.

A channel's place moves once its message was taken: nothing is left out, and after a crash between the two it is sent
again under the same id. A channel that fails holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import and_, select, update

from flyball.errors import FlyballError
from flyball.monitoring.notices.config import Channel, NoticesConfig, QuietHours
from flyball.monitoring.notices.events import Cursor, Event, events_after, now
from flyball.monitoring.notices.message import Message
from flyball.storage import tables
from flyball.storage.ledger import Ledger, insert_new
from flyball.telemetry import log

_RANK = {"info": 0, "warning": 1, "critical": 2}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How far a channel was told, and which urgent events beyond that it knows already."""

    cursor: Cursor
    ahead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The channels of a project; `console` is the URL that messages link to."""

    ledger: Ledger
    config: NoticesConfig
    console: str
    send: Callable[[Channel, Message], None]

    def send_due(self, at: datetime | None = None) -> int:
        """Tell each channel what is new; how many messages were taken. What fails is logged and tried again."""
        at = at or datetime.now(UTC)
        sent = 0
        for channel in self.config.to:
            try:
                sent += self._tell(channel, at)
            except FlyballError as error:
                log.error("%s", error)
        return sent

    def _tell(self, channel: Channel, at: datetime) -> bool:
        name = f"notice:{channel.name}"
        kept = _load(self.ledger, name)
        if kept is None:
            _save(self.ledger, name, None, Told(cursor=now(self.ledger)))
            return False
        told = msgspec.json.decode(kept, type=Told)
        events, after = events_after(self.ledger, told.cursor)
        if after == told.cursor:
            return False
        wanted = [one for one in events if _RANK[one.severity] >= _RANK[channel.least] and one.id not in told.ahead]
        is_quiet = self.config.quiet is not None and quiet_at(self.config.quiet, at)
        if is_quiet:
            wanted = [one for one in wanted if one.severity == "critical"]
        if wanted:
            self.send(channel, self._message(wanted))
        following = (
            Told(cursor=told.cursor, ahead=(*told.ahead, *(one.id for one in wanted)))
            if is_quiet
            else Told(cursor=after)
        )
        if following != told:
            _save(self.ledger, name, kept, following)
        return bool(wanted)

    def _message(self, events: list[Event]) -> Message:
        return Message(project=self.ledger.project, console=self.console, events=tuple(events))


def quiet_at(quiet: QuietHours, at: datetime) -> bool:
    """Whether a moment lies in the quiet hours, which may go over midnight."""
    clock = at.astimezone(ZoneInfo(quiet.timezone)).time()
    begin, end = time.fromisoformat(quiet.begin), time.fromisoformat(quiet.end)
    return begin <= clock < end if begin <= end else clock >= begin or clock < end


def _load(ledger: Ledger, name: str) -> str | None:
    column = tables.monitors.c
    query = select(column.state).where(column.project == ledger.project, column.name == name)
    with ledger.read() as connection:
        return connection.execute(query).scalar_one_or_none()


def _save(ledger: Ledger, name: str, before: str | None, told: Told) -> None:
    column = tables.monitors.c
    state = msgspec.json.encode(told).decode()
    with ledger.begin() as connection:
        if before is None:
            row = {"project": ledger.project, "name": name, "through_seq": 0, "state": state}
            insert_new(connection, tables.monitors, row)
            return
        same = and_(column.project == ledger.project, column.name == name, column.state == before)
        connection.execute(update(tables.monitors).where(same).values(state=state))
