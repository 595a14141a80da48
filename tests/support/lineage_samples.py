"""A line of build records for tests: dataset, training run, model, release, report and decision, linked."""

from __future__ import annotations

from dataclasses import dataclass

from flyball.records import (
    Check,
    Constraint,
    DatasetVersion,
    EngineSettings,
    EvalReport,
    GateDecision,
    Measure,
    ModelVersion,
    Record,
    Release,
    SplitRef,
    SuiteRef,
    TrainingRun,
    fingerprint,
)
from flyball.storage.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The names of one line."""

    dataset: str
    run: str
    model: str
    release: str


def chain(ledger: Ledger, name: str, *, dataset: str | None = None, base_model: str | None = None) -> Chain:
    """Append one line whose records differ from those of any other `name`."""
    dataset = dataset or _add(ledger, _dataset(name))
    run = _add(ledger, _run(name, dataset, base_model))
    model = _add(ledger, _model(name, run, dataset))
    release = _add(ledger, _release(model))
    report = _add(ledger, _report(release, dataset))
    _add(ledger, _decision(release, report))
    return Chain(dataset=dataset, run=run, model=model, release=release)


def _add(ledger: Ledger, record: Record) -> str:
    ledger.append(record)
    return fingerprint(record)


def _dataset(name: str) -> DatasetVersion:
    return DatasetVersion(
        project="shop",
        task="classification",
        settings=name,
        parents=(),
        sources=(),
        splits=(SplitRef(name="train", rows=800, content_hash=name), SplitRef(name="test", rows=150, content_hash="t")),
        labels=("esim", "orders"),
        rows_in=1000,
        dropped={"exact_duplicate": 50},
        changed={"redact:EMAIL": 7},
        redaction="p",
    )


def _run(name: str, dataset: str, base_model: str | None) -> TrainingRun:
    return TrainingRun(
        project="shop",
        dataset=dataset,
        base_model=base_model,
        method="finetune" if base_model else "scratch",
        recipe={},
        steps=600,
        metrics={},
        weights_hash=name,
        tokenizer_hash="t",
    )


def _model(name: str, run: str, dataset: str) -> ModelVersion:
    return ModelVersion(
        project="shop",
        training_run=run,
        dataset=dataset,
        architecture="llama",
        parameters=1_330_000,
        context_length=256,
        formats=("gguf",),
        files=(),
        chat_template=name,
    )


def _release(model: str) -> Release:
    return Release(
        project="shop",
        task="classification",
        model=model,
        adapter=None,
        artifact="model.gguf",
        chat_template="c",
        system_prompt=None,
        examples=(),
        sampling={},
        constraint=Constraint(kind="labels", labels=("esim", "orders")),
        input_redaction="default",
        guardrails=(),
        engine=EngineSettings(kind="llama.cpp", context=256, slots=4, threads=1, flags={}),
    )


def _report(release: str, dataset: str) -> EvalReport:
    measure = Measure(
        suite="test", name="exact_match", value=0.876, lower=0.85, upper=0.899, level=0.95, n=150, successes=131
    )
    return EvalReport(
        project="shop",
        release=release,
        dataset=dataset,
        suites=(SuiteRef(name="test", fingerprint="s", items=150),),
        measures=(measure,),
        items_hash="i",
        failures=0,
        engine="xllamacpp",
        prompt_path=1,
    )


def _decision(release: str, report: str) -> GateDecision:
    check = Check(
        measure="exact_match",
        suite="test",
        rule="at_least",
        threshold=0.6,
        value=0.876,
        bound=0.83,
        n=150,
        verdict="pass",
        reason="the lower bound is above 0.6 | so it passes",
    )
    return GateDecision(
        project="shop",
        release=release,
        report=report,
        baseline_release=None,
        baseline_report=None,
        policy={},
        alpha=0.05,
        checks=(check,),
        verdict="pass",
    )
