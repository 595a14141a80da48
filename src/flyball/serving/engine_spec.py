"""All that an engine process needs to know, handed to it as JSON."""

from __future__ import annotations

import msgspec


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One engine to be: what it loads, how many requests at once, and whose it is."""

    id: str
    release: str
    kind: str
    model: str
    file: str
    log: str
    context: int  # tokens of one slot
    slots: int
    threads: int
    batch: int = 512  # tokens of one decode step, over all slots
    adapter: str | None = None  # a LoRA on top of the model, in the form that its kind applies
    command: tuple[str, ...] = ()  # a server of its own; empty: the built-in engine, inside the process
    environment: dict[str, str] = msgspec.field(default_factory=dict)  # of that server, where ours says nothing else
    ready: str = "/health"  # answers 200 once that server can serve
    memory_limit_mb: int | None = None
    owner_pid: int | None = None  # the engine ends with this process
    owner_started: float = 0.0
