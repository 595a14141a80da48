"""Evaluate any OpenAI-compatible URL without a project. I/O: asks the URL, reads suite files, writes a folder.

There is no release there, so a fingerprint of URL, model and what is asked for stands in for one. Greedy by default, so
that two runs of one server agree as far as the server does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flyball.engines.catalog import SERVER
from flyball.errors import InputError
from flyball.evaluation.case_answers import Completer
from flyball.evaluation.config import EvaluateConfig, known_measures
from flyball.evaluation.evaluation_run import evaluate_suites
from flyball.evaluation.item_scores import ItemScore, read_items
from flyball.evaluation.reports.answer_costs import Price
from flyball.evaluation.suites.catalog import load_suites
from flyball.evaluation.suites.files import Columns
from flyball.evaluation.suites.suite import Suite
from flyball.inference.completions import HttpCompleter
from flyball.inference.http_client import ServerAccess
from flyball.records import JSON, EvalReport, fingerprint_of
from flyball.telemetry import Progress, quiet

PROJECT = "standalone"
FEW_LABELS = 0.5
LABEL_LENGTH = 80
GREEDY: Mapping[str, JSON] = {"temperature": 0, "seed": 1, "max_tokens": 512}
"""What each request asks for besides its messages, unless told otherwise."""
Task = Literal["auto", "classification", "chat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """Loaded suites, and whether their expected answers are labels."""

    suites: tuple[Suite, ...]
    classification: bool
    config: EvaluateConfig = field(default_factory=EvaluateConfig)

    def measures(self) -> dict[str, Sequence[str]]:
        """The measures that each suite gives."""
        return {suite.name: known_measures(suite.kind, classification=self.classification) for suite in self.suites}


def is_folder(url: str) -> bool:
    """Whether it is the folder of a Hugging Face model, which only suites of likelihood can ask."""
    return "://" not in url and (Path(url) / "config.json").is_file()


def stand_in(url: str, model: str, request: Mapping[str, JSON] = GREEDY) -> str:
    """The name that stands in for a release: what was asked, as which model, and how."""
    return fingerprint_of({"url": url.rstrip("/"), "model": model, "request": dict(request)})


def load_cases(
    paths: Sequence[Path | str],
    *,
    task: Task = "auto",
    columns: Columns | None = None,
    config: EvaluateConfig | None = None,
) -> Cases:
    """The suites in these files; a text may be FAMILY:FILE."""
    if not paths:
        raise InputError("no suite to ask", cure="give --suite FILE.jsonl")
    settings = config or EvaluateConfig()
    suites = load_suites(
        [str(path) for path in paths],
        dataset_dir=None,
        root=Path.cwd(),
        max_items=settings.max_items,
        columns=columns,
    )
    labels = task == "classification" or (task == "auto" and are_labels(suites))
    return Cases(suites=suites, classification=labels, config=settings)


def are_labels(suites: Sequence[Suite]) -> bool:
    """Whether expected answers look like labels: short, and few different ones."""
    expected = [item.expected or "" for suite in suites if suite.kind == "answer" for item in suite.items]
    if not expected:
        return False
    few = len(set(expected)) <= max(2, FEW_LABELS * len(expected))
    return few and max(map(len, expected)) <= LABEL_LENGTH


def evaluate_url(
    url: str,
    *,
    model: str,
    suite_paths: Sequence[Path | str] = (),
    cases: Cases | None = None,
    out: Path,
    way: ServerAccess | None = None,
    request: Mapping[str, JSON] = GREEDY,
    timeout_s: float = 60.0,
    price: Price | None = None,
    progress: Progress = quiet,
) -> tuple[EvalReport, list[ItemScore]]:
    """The report on an endpoint and its per-item scores; the files are in `out`. `cases`, else those in the files."""
    asked = cases or load_cases(suite_paths)
    completer: Completer
    if is_folder(url):
        from flyball.inference.folder_likelihood import FolderLikelihood  # torch and transformers load with it

        completer = FolderLikelihood(Path(url))
    else:
        labels = asked.classification or any(suite.kind == "labelled" for suite in asked.suites)
        completer = HttpCompleter(url, model=model, way=way, timeout_s=timeout_s, probabilities=labels)
    report = evaluate_suites(
        asked.suites,
        asked.config,
        project=PROJECT,
        release=stand_in(url, model, request),
        dataset=None,
        classification=asked.classification,
        request={"model": model, **request},
        completer=completer,
        engine="transformers" if is_folder(url) else SERVER.name,
        out=out,
        progress=progress,
        price=price,
        access=way,
    )
    return report, read_items(out / "items.jsonl")
