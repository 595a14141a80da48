"""Settings of the gateway."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Origin = Annotated[str, Meta(pattern=r"^(\*|null|[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s@]+/?)$")]


Person = Annotated[
    str,
    Meta(
        pattern=r"^(user|safety_identifier|prompt_cache_key|metadata\.[A-Za-z0-9_.-]{1,64}|header:[A-Za-z0-9_-]{1,64})$"
    ),
]


class RecordingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to requests after they are answered."""

    on_failure: Annotated[
        Literal["serve", "refuse"], Meta(description="When recording is impossible: answer and mark it, or 503.")
    ] = "serve"
    retention_days: Annotated[float, Meta(gt=0, description="How long redacted texts are kept.")] = 30.0
    sealed_days: Annotated[float, Meta(gt=0, description="How long sealed originals are kept.")] = 7.0
    purposes: Annotated[
        tuple[Literal["judging", "replay"], ...],
        Meta(description="What sealed originals may be opened for; anything else works on redacted texts."),
    ] = ()
    max_disk_mb: Annotated[
        int, Meta(ge=1, description="Largest size of the segments that are not yet in the ledger.")
    ] = 512


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP edge."""

    host: Annotated[
        str, Meta(description="Address it listens on; one that is not loopback needs an API key first.")
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port it listens on; 0: any free one.")] = 8080
    workers: Annotated[int, Meta(ge=1, description="Worker processes on that port.")] = 1
    connect_timeout_s: Annotated[float, Meta(gt=0, description="Longest wait for a connection to an engine.")] = 2.0
    first_token_timeout_s: Annotated[float, Meta(gt=0, description="Longest wait for a stream's first event.")] = 30.0
    total_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Longest time for one release's answer; a release that answers in its stead has as long again.",
        ),
    ] = 300.0
    stall_timeout_s: Annotated[float, Meta(gt=0, description="Longest gap inside a stream.")] = 15.0
    retries: Annotated[
        int, Meta(ge=0, description="Further attempts, made only while no byte has been sent to the client.")
    ] = 2
    queue_timeout_s: Annotated[float, Meta(gt=0, description="Longest wait for a free slot.")] = 10.0
    max_body_bytes: Annotated[int, Meta(ge=1024, description="Largest request body; a larger one gets 413.")] = (
        4_194_304
    )
    subject_from: Annotated[
        tuple[Person, ...],
        Meta(
            description="Where a request names its person, the first that does counts: user, safety_identifier, "
            "prompt_cache_key, metadata.NAME, header:NAME."
        ),
    ] = ("safety_identifier", "user")
    cors_origins: Annotated[
        tuple[Origin, ...],
        Meta(
            description="Pages in browsers that may call (https://app.example.com), or * for any that has a key. Pages "
            "that are named may call without a key where none exists."
        ),
    ] = ()
    drain_s: Annotated[float, Meta(ge=0, description="How long a worker that ends finishes what is in flight.")] = 10.0
    recording: RecordingConfig = msgspec.field(default_factory=RecordingConfig)
