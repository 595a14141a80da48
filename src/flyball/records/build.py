"""Records of the build plane: DatasetVersion, TrainingRun, ModelVersion, Release, EvalReport, GateDecision.

Each is named by its fingerprint. None holds personal content, a location, a clock time or a code version: those are
recorded beside it, never hashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from flyball.records.canonical import JSON
from flyball.records.prices import UsdPerMillion, prices_of

Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRef:
    """One source of rows: its name in flyball.yaml, the hash of its bytes, and how many rows it gave."""

    name: str
    content_hash: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRef:
    """One side of the data: its rows and the hash over their sorted content hashes."""

    name: str
    rows: int
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """Rows that may be trained and tested on, and what was dropped or changed on the way, with reasons."""

    VERSION: ClassVar[int] = 1
    project: str
    task: str
    settings: str
    parents: tuple[str, ...]
    sources: tuple[SourceRef, ...]
    splits: tuple[SplitRef, ...]
    labels: tuple[str, ...]
    rows_in: int
    dropped: Mapping[str, int]
    changed: Mapping[str, int]
    redaction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One training: the rows and the recipe that went in, the weights that came out, and how well it learned."""

    VERSION: ClassVar[int] = 1
    project: str
    dataset: str
    base_model: str | None
    method: str
    recipe: Mapping[str, JSON]
    steps: int
    metrics: Mapping[str, float]
    weights_hash: str
    tokenizer_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """One file of an artefact: its path inside it, its size and the SHA-256 of its bytes."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A packaged model: every file that serving may load, by hash."""

    VERSION: ClassVar[int] = 1
    project: str
    training_run: str | None
    dataset: str | None
    architecture: str
    parameters: int
    context_length: int
    formats: tuple[str, ...]
    files: tuple[FileRef, ...]
    chat_template: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What an answer may be: anything, one of a set of labels, or JSON of a schema."""

    kind: Literal["none", "labels", "json_schema"]
    labels: tuple[str, ...] = ()
    schema: Mapping[str, JSON] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the engine is started: its kind, context per slot in tokens, slots, threads, and further flags."""

    kind: Literal["llama.cpp", "vllm", "openai"]
    context: int
    slots: int
    threads: int
    flags: Mapping[str, JSON]

    @property
    def usd_per_million(self) -> UsdPerMillion | None:
        """Its own prices of a million prompt and completion tokens, where the release names them."""
        return prices_of(self.flags.get("usd_per_million"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What is done to every text before a model reads it: the same to rows, suites and requests.

    `version` is that of the steps' code; `steps` are their names, in the order in which they run. `control_tokens` are
    the model's own, which no text may form. A text is cut after `max_characters`; None: it is not cut.
    """

    version: int
    steps: tuple[str, ...]
    control_tokens: tuple[str, ...] = ()
    max_characters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """All that decides an answer, under one fingerprint; what was evaluated is what serves.

    `request_fields` are the fields of the API that a request may set and that change the answer; None: a release from
    before this field, which lets all pass. `preparation` is None for a release from before it: texts are not prepared.
    """

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("request_fields", "preparation")
    project: str
    task: str
    model: str
    adapter: str | None
    artifact: str
    chat_template: str
    system_prompt: str | None
    examples: tuple[Message, ...]
    sampling: Mapping[str, JSON]
    constraint: Constraint
    input_redaction: str
    guardrails: tuple[str, ...]
    engine: EngineSettings
    request_fields: tuple[str, ...] | None = None
    preparation: Preparation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRef:
    """One evaluation suite: its name, the fingerprint of its items and how many there are."""

    name: str
    fingerprint: str
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measured quantity with its two-sided interval; `successes` where it is a proportion."""

    suite: str
    name: str
    value: float
    lower: float
    upper: float
    level: float
    n: int
    successes: int | None = None
    slice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """What one release scored on its suites, through its engine and the production prompt path."""

    VERSION: ClassVar[int] = 1
    project: str
    release: str
    dataset: str | None
    suites: tuple[SuiteRef, ...]
    measures: tuple[Measure, ...]
    items_hash: str
    failures: int
    engine: str
    prompt_path: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule of a gate on one measure: the bound that was compared, with what, and the verdict."""

    measure: str
    suite: str
    rule: Literal["at_least", "at_most", "not_worse_than_live", "better_than_live"]
    threshold: float
    value: float | None
    bound: float | None
    n: int
    verdict: Verdict
    reason: str
    needed_n: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """Whether a release may ship: the candidate's report, the live one's, the policy, and the bound that decided."""

    VERSION: ClassVar[int] = 1
    project: str
    release: str
    report: str
    baseline_release: str | None
    baseline_report: str | None
    policy: Mapping[str, JSON]
    alpha: float
    checks: tuple[Check, ...]
    verdict: Verdict
