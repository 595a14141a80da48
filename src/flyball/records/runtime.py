"""Records of the control and serve planes: Deployment, RequestRecord, Feedback, Finding, Proposal.

Each is named by a UUIDv7 and is a fact about one moment. Texts of requests are not here: they are sealed payloads that
erasure can destroy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from flyball.records.canonical import JSON

RequestKind = Literal["chat", "completion", "embedding"]
ASKED_PATHS: Final[Mapping[RequestKind, str]] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "embedding": "/v1/embeddings",
}
"""By the kind of a request, the path that was asked."""
Strategy = Literal["blue-green", "canary", "shadow", "ab"]
DeploymentState = Literal["requested", "starting", "ramping", "live", "paused", "rolled_back", "failed", "retired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The wish to put a release on a route, by whom, why and on which decision; its history is its transitions."""

    VERSION: ClassVar[int] = 1
    id: str
    """UUIDv7."""
    project: str
    """The project's name."""
    route: str
    """Name that clients ask for."""
    release: str
    """Fingerprint of the release."""
    decision: str
    """Fingerprint of the gate decision that permits it."""
    strategy: Strategy
    """How it takes over the route."""
    plan: Mapping[str, JSON]
    """Steps, shares and limits of this deployment."""
    replaces: str | None
    """Fingerprint of the release that was live; null: none."""
    requested_by: str
    """Who asked for it."""
    reason: str
    """Why, in the words of who asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step of a deployment, stored with its evidence before it takes effect."""

    deployment: str
    """Id of the deployment."""
    state: DeploymentState
    """The state that it enters."""
    step: int
    """Step of the plan, from 0."""
    evidence: Mapping[str, JSON]
    """Figures that decided it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request and how it was answered: times in milliseconds, cost in dollars, people as keyed hashes.

    `release` is the one that the request was assigned to, and whose success or failure it is; where another answered in
    its stead, `answered_by` names that one. A shadow's copy `mirrors` the request that was answered: it has its own
    cost, and nobody saw its answer. A request that a tester `forced` to an arm is no evidence about that arm. `kind` is
    the endpoint that was asked; `cause` says in our own words why it failed; tokens may be `estimated` from the texts.
    """

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("forced", "mirrors", "kind", "cause", "estimated")
    id: str
    """UUIDv7 with a MAC of the caller's key inside: `x-flyball-request-id`."""
    project: str
    """The project's name."""
    route: str
    """Route that was asked."""
    release: str
    """Fingerprint of the release that it was assigned to."""
    deployment: str | None
    """Id of that release's deployment."""
    variant: str
    """live, canary, shadow, b or previous."""
    endpoint: str
    """Engine that answered or failed last."""
    key_id: str
    """Id of the caller's key."""
    team: str | None
    """Team of the key."""
    subject: str | None
    """Keyed hash of the person."""
    conversation: str | None
    """Keyed hash of `x-flyball-conversation`."""
    client_id: str | None
    """Keyed hash of `x-flyball-client-id`."""
    unit: str
    """Keyed hash of what sticks to one release."""
    started_ms: int
    """When it came, in milliseconds since 1970."""
    queue_ms: float
    """Wait for a free slot."""
    first_token_ms: float | None
    """Time to the first event of a stream."""
    total_ms: float
    """Time to the last byte."""
    longest_gap_ms: float | None
    """Longest gap between two events of a stream."""
    attempts: int
    """Engines that were asked."""
    status: int
    """HTTP status of the answer."""
    outcome: Literal["ok", "error", "aborted", "cut", "refused"]
    """How it ended."""
    error: str | None
    """Code of the error."""
    finish_reason: str | None
    """Why the engine stopped."""
    stream: bool
    """Whether it was streamed."""
    prompt_tokens: int
    """Tokens of the prompt."""
    completion_tokens: int
    """Tokens of the answer."""
    cost_usd: float
    """What it cost."""
    answered_by: str | None = None
    """Fingerprint of the release that answered instead."""
    mirrors: str | None = None
    """Id of the request that a shadow's copy copies."""
    forced: bool = False
    """Whether a tester chose the variant."""
    kind: RequestKind = "chat"
    """Endpoint that was asked."""
    cause: str | None = None
    """Why it failed, in words."""
    estimated: bool = False
    """Whether tokens were estimated from the texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said of one answer; a correction or comment itself is a sealed payload under `id`.

    `judge` names who gave a verdict on an answer of the judged sample; what users say of their own accord has none.
    """

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("judge",)
    id: str
    """Derived from what it says of which request, so that sending it twice records it once."""
    project: str
    """The project's name."""
    request: str | None
    """Id of the request."""
    client_id: str | None
    """Keyed hash of the caller's own id of the request."""
    key_id: str
    """Id of the caller's key."""
    score: float | None
    """0 (bad) to 1 (good)."""
    label: str | None
    """good, bad or another word."""
    has_correction: bool
    """Whether a correction is sealed under `id`."""
    has_comment: bool
    """Whether a comment is sealed under `id`."""
    at_ms: int
    """When, in milliseconds since 1970."""
    judge: str | None = None
    """Who judged; null: a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that monitoring saw: what, how sure, over which records, with examples."""

    VERSION: ClassVar[int] = 1
    id: str
    """UUIDv7."""
    project: str
    """The project's name."""
    kind: Literal["quality", "drift", "latency", "errors", "spend", "recording", "health"]
    """What changed."""
    severity: Literal["info", "warning", "critical"]
    """How urgent it is."""
    route: str
    """Route that it is about."""
    release: str | None
    """Fingerprint of the release that it is about; null: none in particular."""
    measure: str
    """Quantity that changed."""
    value: float
    """Its value now."""
    reference: float
    """Value that it was compared with."""
    evidence: Mapping[str, JSON]
    """Further figures."""
    first_seq: int
    """First ledger entry that it rests on."""
    last_seq: int
    """Last ledger entry that it rests on."""
    examples: tuple[str, ...]
    """Ids of requests that show it."""
    explanation: str
    """The finding in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What should be done about findings, and with which production rows."""

    VERSION: ClassVar[int] = 1
    id: str
    """UUIDv7."""
    project: str
    """The project's name."""
    action: Literal["retrain", "rollback", "review"]
    """What to do."""
    findings: tuple[str, ...]
    """Ids of the findings that ask for it."""
    route: str
    """Route that it is about."""
    release: str | None
    """Fingerprint of the release that it is about."""
    corrections: int
    """Corrected answers that could be trained on."""
    rationale: str
    """Why, in words."""
