"""Generations of releases for the console's shop: data, training, evaluation and gate of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from flyball.records import (
    Check,
    Constraint,
    DatasetVersion,
    EngineSettings,
    EvalReport,
    FileRef,
    GateDecision,
    Measure,
    ModelVersion,
    Release,
    SourceRef,
    SplitRef,
    SuiteRef,
    TrainingRun,
    fingerprint,
)

PROJECT = "shop"
LABELS = ("refund", "delivery", "invoice", "login", "return", "cancel", "warranty", "address")
TEXTS = (
    ("My order <ORDER> has not arrived yet, where is it?", "delivery"),
    ("I was charged twice for <ORDER>, please send the money back to <IBAN>", "refund"),
    ("The reset mail never reaches <EMAIL>", "login"),
    ("Please change the street on my account, I moved", "address"),
    ("Need a copy of last month's invoice for my tax office", "invoice"),
    ("The kettle broke after three weeks, is that covered?", "warranty"),
    ("How do I send the blue one back?", "return"),
)


def digest(text: str) -> str:
    """A stable stand-in for a SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The build records of one release, in the order of the loop."""

    dataset: DatasetVersion
    run: TrainingRun
    model: ModelVersion
    release: Release
    report: EvalReport
    decision: GateDecision

    @property
    def name(self) -> str:
        """The release's name."""
        return fingerprint(self.release)


def generation(number: int, *, value: float, verdict: Any = "pass", baseline: Generation | None = None) -> Generation:
    """One pass through the build plane."""
    dataset = DatasetVersion(
        project=PROJECT,
        task="classification",
        settings=digest("settings"),
        parents=(fingerprint(baseline.dataset),) if baseline else (),
        sources=(SourceRef(name="tickets", content_hash=digest(f"tickets{number}"), rows=6000 + 150 * number),),
        splits=(
            SplitRef(name="train", rows=3817 + 130 * number, content_hash=digest(f"train{number}")),
            SplitRef(name="validation", rows=240, content_hash=digest("validation")),
            SplitRef(name="test", rows=812, content_hash=digest("test")),
        ),
        labels=LABELS,
        rows_in=6000 + 150 * number,
        dropped={"exact duplicate": 412, "near duplicate": 506, "malformed line": 37, "conflicting label": 176},
        changed={"encoding repaired": 88, "markup stripped": 141, "personal data replaced": 2204},
        redaction="default",
    )
    run = TrainingRun(
        project=PROJECT,
        dataset=fingerprint(dataset),
        base_model=None,
        method="scratch",
        recipe={"steps": 600, "learning_rate": 0.002, "batch_size": 32, "seed": 1, "hidden": 128, "layers": 4},
        steps=600,
        metrics={"train_loss": 0.1124 + number / 100, "validation_loss": 0.2871 - number / 50, "seconds": 41.3},
        weights_hash=digest(f"weights{number}"),
        tokenizer_hash=digest("tokenizer"),
    )
    model = ModelVersion(
        project=PROJECT,
        training_run=fingerprint(run),
        dataset=fingerprint(dataset),
        architecture="llama",
        parameters=1_331_072,
        context_length=256,
        formats=("safetensors", "gguf q8_0"),
        files=(
            FileRef(path="model.gguf", size_bytes=2_104_448, sha256=digest(f"gguf{number}")),
            FileRef(path="model.safetensors", size_bytes=5_330_112, sha256=digest(f"st{number}")),
            FileRef(path="tokenizer.json", size_bytes=221_904, sha256=digest("tokenizer")),
        ),
        chat_template=digest("template"),
    )
    release = Release(
        project=PROJECT,
        task="classification",
        model=fingerprint(model),
        adapter=None,
        artifact=digest(f"gguf{number}"),
        chat_template=digest("template"),
        system_prompt=None,
        examples=(),
        sampling={"temperature": 0.0, "max_tokens": 16},
        constraint=Constraint(kind="labels", labels=LABELS),
        input_redaction="default",
        guardrails=("max_prompt_tokens",),
        engine=EngineSettings(kind="llama.cpp", context=256, slots=4, threads=1, flags={}),
    )
    report = _report(fingerprint(release), fingerprint(dataset), value, number)
    decision = GateDecision(
        project=PROJECT,
        release=fingerprint(release),
        report=fingerprint(report),
        baseline_release=baseline.name if baseline else None,
        baseline_report=fingerprint(baseline.report) if baseline else None,
        policy={"rules": 2},
        alpha=0.05,
        checks=_checks(value, verdict, baseline),
        verdict=verdict,
    )
    return Generation(dataset=dataset, run=run, model=model, release=release, report=report, decision=decision)


def _report(release: str, dataset: str, value: float, number: int) -> EvalReport:
    def measure(suite: str, name: str, share: float, n: int) -> Measure:
        half = 1.96 * (share * (1 - share) / n) ** 0.5
        return Measure(
            suite=suite,
            name=name,
            value=share,
            lower=share - half,
            upper=min(1.0, share + half),
            level=0.95,
            n=n,
            successes=round(share * n),
        )

    return EvalReport(
        project=PROJECT,
        release=release,
        dataset=dataset,
        suites=(
            SuiteRef(name="test", fingerprint=digest("suite"), items=812),
            SuiteRef(name="invariance", fingerprint=digest("invariance"), items=400),
        ),
        measures=(measure("test", "exact_match", value, 812), measure("invariance", "unchanged", value + 0.03, 400)),
        items_hash=digest(f"items{number}"),
        failures=0,
        engine="llama.cpp b7100",
        prompt_path=1,
    )


def _checks(value: float, verdict: Any, baseline: Generation | None) -> tuple[Check, ...]:
    bound = value - 0.021
    checks = [
        Check(
            measure="exact_match",
            suite="test",
            rule="at_least",
            threshold=0.6,
            value=value,
            bound=bound,
            n=812,
            verdict="pass" if bound > 0.6 else "fail",
            reason="the lower bound is compared",
        )
    ]
    if baseline is not None:
        difference = value - baseline.report.measures[0].value
        checks.append(
            Check(
                measure="exact_match",
                suite="test",
                rule="not_worse_than_live",
                threshold=0.03,
                value=difference,
                bound=difference - 0.014,
                n=812,
                verdict=verdict,
                reason="paired with the live release",
            )
        )
    return tuple(checks)
