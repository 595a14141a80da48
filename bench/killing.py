"""Kills processes of a served project at random, and remembers whose connections died with them. I/O: signals, /proc.

A worker or an engine is killed only while another of its kind serves: that nothing fails is promised for two of each,
and nobody promises it for none.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from served import Served

KINDS = ("gateway", "gateway", "engine", "engine", "ingester", "control")
BACKLOG_S = 1.0
"""A connection that the kernel had accepted for a worker but that the worker had not is nobody's in /proc."""
HANDSHAKE_S = 0.2
"""One whose handshake was with the victim's socket is reset before it is a connection at all."""


@dataclass(slots=True)
class Kill:
    """One kill: of what, when (time.monotonic), and the clients' ports that the victim served."""

    kind: str
    name: str
    pid: int
    at_s: float
    ports: frozenset[int] = frozenset()


@dataclass
class Killer:
    """Chooses victims by a seed and kills them."""

    served: Served
    chance: random.Random
    kills: list[Kill] = field(default_factory=list)
    deck: list[str] = field(default_factory=list)

    def kill_one(self) -> Kill | None:
        """Kill one process now; None when nobody of the chosen kind may be killed. Kinds come in shuffled rounds."""
        if not self.deck:
            self.deck = self.chance.sample(KINDS, len(KINDS))
        kind = self.deck.pop()
        victims = self._engines() if kind == "engine" else self._processes(kind)
        if not victims:
            return None
        name, pid = self.chance.choice(sorted(victims.items()))
        ports = frozenset(client_ports(pid, self.served.port)) if kind == "gateway" else frozenset()
        kill = Kill(kind, name, pid, time.monotonic(), ports)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        self.kills.append(kill)
        return kill

    def counts(self) -> dict[str, int]:
        return dict(Counter(kill.kind for kill in self.kills))

    def took_down(self, port: int, connected_s: float, ended_s: float) -> bool:
        """Whether a connection of this client's port died with a killed worker; `connected_s` 0: it never stood."""
        if not connected_s:
            return any(abs(ended_s - kill.at_s) < HANDSHAKE_S for kill in self.kills if kill.kind == "gateway")
        return any(
            -0.05 <= ended_s - kill.at_s < BACKLOG_S
            and (port in kill.ports or abs(connected_s - kill.at_s) < BACKLOG_S)
            for kill in self.kills
            if kill.kind == "gateway"
        )

    def _processes(self, kind: str) -> dict[str, int]:
        found = {name: pid for name, pid in self.served.note.processes.items() if name.startswith(kind)}
        if kind != "gateway":
            return found
        serving = {name: pid for name, pid in found.items() if listens(pid, self.served.port)}
        return serving if len(serving) > 1 else {}

    def _engines(self) -> dict[str, int]:
        in_table = set(self.served.endpoints())
        ready = {engine.id: engine.pid for engine in self.served.engines(ready=True) if engine.id in in_table}
        return ready if len(ready) > 1 else {}


def listens(pid: int, port: int) -> bool:
    """Whether a process has a listening socket on a port."""
    mine = sockets_of(pid)
    return any(local == port and state == "0A" and inode in mine for local, _, state, inode in connections())


def client_ports(pid: int, port: int) -> set[int]:
    """The remote ports of the connections that a process serves on `port`."""
    mine = sockets_of(pid)
    return {remote for local, remote, _, inode in connections() if local == port and inode in mine and remote}


def sockets_of(pid: int) -> set[str]:
    """Inodes of a process's sockets; none when it is gone."""
    found = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(entry.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def connections() -> list[tuple[int, int, str, str]]:
    """(local port, remote port, state, inode) of every IPv4 connection."""
    rows = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        local, remote = (int(part.rpartition(":")[2], 16) for part in parts[1:3])
        rows.append((local, remote, parts[3], parts[9]))
    return rows
