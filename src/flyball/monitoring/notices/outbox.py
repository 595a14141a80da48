"""Sends what is due to each channel and keeps how far each was told. I/O: the ledger, and what sends.

A channel's place moves once its message was taken: nothing is left out, and after a crash between the two it is sent
again under the same id. Each channel has a thread, so that one that fails, or answers for ever, holds up no other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from time import monotonic
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

PATIENCE_S = 30.0
"""A channel that takes longer is left to its thread, and told nothing more until it is over."""
MOST = 10_000
"""Events that are told together; more of them come in the next messages."""
_RANK = {"info": 0, "warning": 1, "critical": 2}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How far a channel was told; in quiet hours also how far of what is critical, and what of it was told."""

    cursor: Cursor
    ahead: tuple[str, ...] = ()
    quiet: Cursor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The channels of a project; `console` is the URL that messages link to."""

    ledger: Ledger
    config: NoticesConfig
    console: str
    send: Callable[[Channel, Message], None]
    _sending: dict[str, threading.Thread] = field(default_factory=dict, init=False, repr=False, compare=False)

    def send_due(self, at: datetime | None = None) -> int:
        """Tell each channel what is new; how many messages were taken. What fails is logged and tried again."""
        at = at or datetime.now(UTC)
        sent: list[str] = []

        def tell(channel: Channel) -> None:
            try:
                if self._tell(channel, at):
                    sent.append(channel.name)
            except Exception as error:  # noqa: BLE001 - a thread's edge
                log.error("%s", error if isinstance(error, FlyballError) else f"notice to {channel.name}: {error!r}")

        for channel in self.config.to:
            before = self._sending.get(channel.name)
            if before is None or not before.is_alive():
                self._sending[channel.name] = threading.Thread(target=tell, args=(channel,), daemon=True)
                self._sending[channel.name].start()
        until = monotonic() + PATIENCE_S
        for name, thread in self._sending.items():
            thread.join(max(0.0, until - monotonic()))
            if thread.is_alive():
                log.error("the notice to %s is not taken yet: nothing more is sent there until it is", name)
        return len(sent)

    def _tell(self, channel: Channel, at: datetime) -> bool:
        name = f"notice:{channel.name}"
        kept = _load(self.ledger, name)
        if kept is None:
            _save(self.ledger, name, None, Told(cursor=now(self.ledger)))
            return False
        told = msgspec.json.decode(kept, type=Told)
        is_quiet = self.config.quiet is not None and quiet_at(self.config.quiet, at)
        events, after = self._unread(told.quiet or told.cursor if is_quiet else told.cursor)
        wanted = [one for one in events if _RANK[one.severity] >= _RANK[channel.least] and one.id not in told.ahead]
        if is_quiet:
            wanted = [one for one in wanted if one.severity == "critical"]
        if wanted:
            self.send(channel, self._message(wanted))
        if is_quiet:
            following = Told(cursor=told.cursor, ahead=(*told.ahead, *(one.id for one in wanted)), quiet=after)
        else:
            passed = {one.id for one in events}
            following = Told(cursor=after, ahead=tuple(id for id in told.ahead if id not in passed))
        if following != told:
            _save(self.ledger, name, kept, following)
        return bool(wanted)

    def _unread(self, cursor: Cursor) -> tuple[list[Event], Cursor]:
        found: list[Event] = []
        while len(found) < MOST:
            events, after = events_after(self.ledger, cursor)
            if after == cursor:
                break
            found, cursor = [*found, *events], after
        return found, cursor

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
