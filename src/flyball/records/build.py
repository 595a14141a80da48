"""Records of the build plane: DatasetVersion, TrainingRun, ModelVersion, Release, EvalReport, GateDecision.

Each is named by its fingerprint. None holds personal content, a location, a clock time or a code version: those are
recorded beside it, never hashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from flyball.records.canonical import JSON

Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRef:
    """One source of rows: its name in flyball.yaml, the hash of its bytes, and how many rows it gave."""

    name: str
    """Its name in flyball.yaml."""
    content_hash: str
    """SHA-256 of its bytes."""
    rows: int
    """Rows that it gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRef:
    """One side of the data: its rows and the hash over their sorted content hashes."""

    name: str
    """train, validation or test."""
    rows: int
    """Rows on this side."""
    content_hash: str
    """SHA-256 over the sorted hashes of its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """Rows that may be trained and tested on, and what was dropped or changed on the way, with reasons."""

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("pairs",)
    project: str
    """The project's name."""
    task: str
    """classification or chat."""
    settings: str
    """Fingerprint of the settings under `data`."""
    parents: tuple[str, ...]
    """The version that an erasure rewrote into this one."""
    sources: tuple[SourceRef, ...]
    """Where the rows came from."""
    splits: tuple[SplitRef, ...]
    """The sides, and what is on them."""
    labels: tuple[str, ...]
    """Labels that occur, sorted; none for chat."""
    rows_in: int
    """Rows read from all sources."""
    dropped: Mapping[str, int]
    """Rows dropped, by reason."""
    changed: Mapping[str, int]
    """Rows changed, by step."""
    redaction: str
    """Name of the redaction profile."""
    pairs: int = 0
    """Rows with a rejected answer beside the preferred one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One training: the rows and the recipe that went in, the weights that came out, and how well it learned."""

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("teacher",)
    project: str
    """The project's name."""
    dataset: str
    """Fingerprint of the dataset version."""
    base_model: str | None
    """Hash of the model that training started from; null: from scratch."""
    method: str
    """scratch, finetune, lora, linear or command."""
    recipe: Mapping[str, JSON]
    """Settings under `train` that decide the weights."""
    steps: int
    """Optimiser steps that were made."""
    metrics: Mapping[str, float]
    """Final numbers, such as loss."""
    weights_hash: str
    """SHA-256 of the weights."""
    tokenizer_hash: str
    """SHA-256 of the tokenizer."""
    teacher: str | None = None
    """The model version that it was distilled from, or the hash of the weights of a model that is none; null: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """One file of an artefact: its path inside it, its size and the SHA-256 of its bytes."""

    path: str
    """Its path inside the artefact."""
    size_bytes: int
    """Its size."""
    sha256: str
    """SHA-256 of its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A packaged model: every file that serving may load, by hash."""

    VERSION: ClassVar[int] = 1
    project: str
    """The project's name."""
    training_run: str | None
    """Fingerprint of its training; null: imported."""
    dataset: str | None
    """Fingerprint of its dataset version; null: imported."""
    architecture: str
    """Such as llama; linear: n-grams and logistic regression."""
    parameters: int
    """Number of weights."""
    context_length: int
    """Tokens that it can read at once; 0: not known, or texts of any length."""
    formats: tuple[str, ...]
    """Formats it is packaged in, such as gguf."""
    files: tuple[FileRef, ...]
    """Every file that serving may load."""
    chat_template: str
    """Jinja template that turns messages into a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    """Who says it."""
    content: str
    """What is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What an answer may be: anything, one of a set of labels, or JSON of a schema."""

    kind: Literal["none", "labels", "json_schema"]
    """none, labels or json_schema."""
    labels: tuple[str, ...] = ()
    """The allowed answers, for labels."""
    schema: Mapping[str, JSON] | None = None
    """The JSON Schema of an answer, for json_schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the engine is started: its kind, context per slot in tokens, slots, threads, and what is its kind's alone."""

    kind: str
    """Which engine: a name of engines/."""
    context: int
    """Tokens per slot."""
    slots: int
    """Requests answered at once."""
    threads: int
    """CPU threads."""
    flags: Mapping[str, JSON]
    """Settings of this kind alone, as its file in engines/ stores and reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What is done to every text before a model reads it: the same to rows, suites and requests.

    `version` is that of the steps' code; `steps` are their names, in the order in which they run. `control_tokens` are
    the model's own, which no text may form. A text is cut after `max_characters`; None: it is not cut.
    """

    version: int
    """Version of the steps' code."""
    steps: tuple[str, ...]
    """Names of the steps, in order."""
    control_tokens: tuple[str, ...] = ()
    """The model's own markers, which no text may form."""
    max_characters: int | None = None
    """A text is cut after so many characters; null: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """All that decides an answer, under one fingerprint; what was evaluated is what serves.

    `request_fields` are the fields of the API that a request may set and that change the answer; None: a release from
    before this field, which lets all pass. `preparation` is None for a release from before it: texts are not prepared.
    """

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("request_fields", "preparation")
    project: str
    """The project's name."""
    task: str
    """classification or chat."""
    model: str
    """Fingerprint of the model version."""
    adapter: str | None
    """Name of a LoRA adapter; null: none."""
    artifact: str
    """Name of the artefact that the engine loads."""
    chat_template: str
    """Jinja template that turns messages into a prompt."""
    system_prompt: str | None
    """System message before each conversation; null: none."""
    examples: tuple[Message, ...]
    """Example turns before the user's message."""
    sampling: Mapping[str, JSON]
    """Sampling where a request says nothing."""
    constraint: Constraint
    """What an answer may be."""
    input_redaction: str
    """Name of the redaction profile for requests."""
    guardrails: tuple[str, ...]
    """Names of guardrails on requests."""
    engine: EngineSettings
    """How the engine is started."""
    request_fields: tuple[str, ...] | None = None
    """Fields of a request that may change the answer; null: all (releases from before this field)."""
    preparation: Preparation | None = None
    """What is done to each text; null: nothing (releases from before this field)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRef:
    """One evaluation suite: its name, the fingerprint of its items and how many there are."""

    name: str
    """Name of the suite."""
    fingerprint: str
    """SHA-256 over its cases."""
    items: int
    """Number of cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measured quantity with its two-sided interval; `successes` where it is a proportion."""

    suite: str
    """Suite that it was measured on."""
    name: str
    """Such as exact_match."""
    value: float
    """The estimate."""
    lower: float
    """Lower end of the interval."""
    upper: float
    """Upper end of the interval."""
    level: float
    """Confidence level of the interval."""
    n: int
    """Cases that it rests on."""
    successes: int | None = None
    """Cases that succeeded, where it is a proportion."""
    slice: str | None = None
    """Label or group that it is about; null: all cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOverlap:
    """How many cases of a suite the release's training rows hold; each case counts once."""

    suite: str
    """The suite."""
    cases: int
    """Its cases that were compared."""
    equal: int
    """Cases that a row equals but for case, blanks and punctuation."""
    passage: int
    """Further cases that share a passage of 13 words with a row."""
    near: int
    """Further cases that are a near duplicate of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresFile:
    """The file of scores that another program made for the cases of a suite."""

    suite: str
    """The suite."""
    file: str
    """The file's name."""
    sha256: str
    """SHA-256 of the file."""
    model: str | None = None
    """What the file says it scored; null: nothing."""
    release: str | None = None
    """First digits of the release that the file says it scored; null: nothing ties it to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """What one release scored on its suites, through its engine and the production prompt path."""

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("overlaps", "elsewhere")
    project: str
    """The project's name."""
    release: str
    """Fingerprint of the release."""
    dataset: str | None
    """Fingerprint of the dataset version whose test rows were asked."""
    suites: tuple[SuiteRef, ...]
    """The suites that were asked."""
    measures: tuple[Measure, ...]
    """What was measured."""
    items_hash: str
    """SHA-256 of the scores of each case."""
    failures: int
    """Cases without an answer."""
    engine: str
    """Engine that answered."""
    prompt_path: int
    """Version of the prompt path's code."""
    overlaps: tuple[SuiteOverlap, ...] | None = None
    """By suite that is not made of held-out rows, its overlap with the training rows; null: not compared."""
    elsewhere: tuple[ScoresFile, ...] | None = None
    """By suite that another program scored, its file; null: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule of a gate on one measure: the bound that was compared, with what, and the verdict."""

    measure: str
    """The measure of the rule."""
    suite: str
    """The suite of the rule."""
    rule: Literal["at_least", "at_most", "not_worse_than_live", "better_than_live"]
    """The comparison."""
    threshold: float
    """What the bound was compared with."""
    value: float | None
    """The estimate; null: not measured."""
    bound: float | None
    """The bound that decided; null: not measured."""
    n: int
    """Cases that it rests on."""
    verdict: Verdict
    """pass, fail or inconclusive."""
    reason: str
    """The verdict in words."""
    needed_n: int | None = None
    """Cases that would probably decide it, where it is inconclusive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """Whether a release may ship: the candidate's report, the live one's, the policy, and the bound that decided."""

    VERSION: ClassVar[int] = 1
    ADDED: ClassVar[tuple[str, ...]] = ("looks",)
    project: str
    """The project's name."""
    release: str
    """Fingerprint of the candidate."""
    report: str
    """Fingerprint of the candidate's report."""
    baseline_release: str | None
    """Fingerprint of the release that was live; null: none."""
    baseline_report: str | None
    """Fingerprint of its report."""
    policy: Mapping[str, JSON]
    """Settings under `gate`."""
    alpha: float
    """Error rate of each bound."""
    checks: tuple[Check, ...]
    """Every rule with its bound and verdict."""
    verdict: Verdict
    """pass only if every check passed."""
    looks: Mapping[str, JSON] | None = None
    """By suite, which candidate in turn this one was: each later one gets a smaller part of alpha."""
