"""Evaluate any OpenAI-compatible URL without a project. I/O: asks the URL, reads suite files, writes a folder.

There is no release there, so a fingerprint of URL and model stands in for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from flyball.errors import InputError
from flyball.evaluation.config import EvaluateConfig
from flyball.evaluation.items import ItemScore, read_items
from flyball.evaluation.running import evaluate_suites
from flyball.evaluation.suites.loading import load_suites
from flyball.inference.completers import HttpCompleter
from flyball.inference.servers import Way
from flyball.records import EvalReport, fingerprint_of
from flyball.telemetry import Progress, quiet

PROJECT = "standalone"
FEW_LABELS = 0.5


def stand_in(url: str, model: str) -> str:
    """The name that stands in for a release: what was asked, and as which model."""
    return fingerprint_of({"url": url.rstrip("/"), "model": model})


def evaluate_url(
    url: str,
    *,
    model: str,
    suite_paths: Sequence[Path],
    out: Path,
    way: Way | None = None,
    task: Literal["auto", "classification", "chat"] = "auto",
    config: EvaluateConfig | None = None,
    timeout_s: float = 60.0,
    progress: Progress = quiet,
) -> tuple[EvalReport, list[ItemScore]]:
    """The report on an endpoint and its per-item scores; the files are in `out`."""
    paths = list(suite_paths)
    if not paths:
        raise InputError("no suite to ask", cure="give --suite FILE.jsonl")
    settings = config or EvaluateConfig()
    suites = load_suites(
        [str(path.absolute()) for path in paths], dataset_dir=None, root=Path("/"), max_items=settings.max_items
    )
    expected = [item.expected for suite in suites for item in suite.items]
    guessed = len(set(expected)) <= max(2, FEW_LABELS * len(expected))  # few different answers: they are labels
    completer = HttpCompleter(url, release=None, model=model, way=way, timeout_s=timeout_s)
    report = evaluate_suites(
        suites,
        settings,
        project=PROJECT,
        release=stand_in(url, model),
        dataset=None,
        classification=task == "classification" or (task == "auto" and guessed),
        completer=completer,
        engine="openai",
        out=out,
        progress=progress,
    )
    return report, read_items(out / "items.jsonl")
