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
    project: str
    route: str
    release: str
    decision: str
    strategy: Strategy
    plan: Mapping[str, JSON]
    replaces: str | None
    requested_by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step of a deployment, stored with its evidence before it takes effect."""

    deployment: str
    state: DeploymentState
    step: int
    evidence: Mapping[str, JSON]


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
    project: str
    route: str
    release: str
    deployment: str | None
    variant: str
    endpoint: str
    key_id: str
    team: str | None
    subject: str | None
    conversation: str | None
    client_id: str | None
    unit: str
    started_ms: int
    queue_ms: float
    first_token_ms: float | None
    total_ms: float
    longest_gap_ms: float | None
    attempts: int
    status: int
    outcome: Literal["ok", "error", "aborted", "cut", "refused"]
    error: str | None
    finish_reason: str | None
    stream: bool
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    answered_by: str | None = None
    mirrors: str | None = None
    forced: bool = False
    kind: RequestKind = "chat"
    cause: str | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What somebody said of one answer; a correction or comment itself is a sealed payload under `id`.

    `judge` names who gave a verdict on an answer of the judged sample; what users say of their own accord has none.
    """

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("judge",)
    id: str
    project: str
    request: str | None
    client_id: str | None
    key_id: str
    score: float | None
    label: str | None
    has_correction: bool
    has_comment: bool
    at_ms: int
    judge: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that monitoring saw: what, how sure, over which records, with examples."""

    VERSION: ClassVar[int] = 1
    id: str
    project: str
    kind: Literal["quality", "drift", "latency", "errors", "spend", "recording", "health"]
    severity: Literal["info", "warning", "critical"]
    route: str
    release: str | None
    measure: str
    value: float
    reference: float
    evidence: Mapping[str, JSON]
    first_seq: int
    last_seq: int
    examples: tuple[str, ...]
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What ought to be done about findings, and with which production rows."""

    VERSION: ClassVar[int] = 1
    id: str
    project: str
    action: Literal["retrain", "rollback", "review"]
    findings: tuple[str, ...]
    route: str
    release: str | None
    corrections: int
    rationale: str
