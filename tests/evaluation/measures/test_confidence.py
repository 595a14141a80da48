"""Calibration of a server and of a real engine, and what their answers cost, as a report has them."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from sklearn.metrics import brier_score_loss

from chat_server import ERROR, Confident, chat_server
from flyball.evaluation.config import EvaluateConfig
from flyball.evaluation.evaluation_run import evaluate
from flyball.evaluation.item_scores import read_items
from flyball.evaluation.reports.details import Details
from flyball.evaluation.reports.files import read_report
from flyball.evaluation.url_evaluation import evaluate_url
from flyball.inference.completions import HttpCompleter
from flyball.records import Constraint, EvalReport, name_of
from flyball.serving.engine_processes import engine_process
from held_out_rows import write_test_split
from small_shop import flyball
from tiny_gguf import tiny_release, write_tiny_gguf

MEASURES = {"brier", "calibration_error", "accuracy_by_coverage"}


def cases(folder: Path, n: int = 60) -> Path:
    path = folder / "cases.jsonl"
    rows = [{"text": f"question {k}", "label": "yes" if k % 2 else "no"} for k in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answered(text: str) -> tuple[str, float]:
    """Every fifth is wrong; the probability differs."""
    k = int(text.split()[-1])
    return ("yes" if (k % 2) ^ (k % 5 == 0) else "no"), 0.4 + 0.59 * ((k * 7) % 60) / 60


def run(folder: Path, behave: object, **more: object) -> tuple[EvalReport, Details]:
    with chat_server(behave) as server:  # type: ignore[arg-type]
        evaluate_url(server.url, model="m", suite_paths=[cases(folder)], out=folder / "out", **more)  # type: ignore[arg-type]
    document = read_report(folder / "out" / "report.json")
    return document.report, document.details


def test_brier_equals_scikit_learn_and_the_report_shows_plots_and_thresholds(tmp_path: Path) -> None:
    report, details = run(tmp_path, lambda text, _: Confident(*answered(text)))
    found = {m.name: m for m in report.measures if m.slice is None}
    right = [k % 5 != 0 for k in range(60)]
    probabilities = [answered(f"question {k}")[1] for k in range(60)]
    assert found["brier"].value == pytest.approx(brier_score_loss(right, probabilities), abs=1e-12)
    assert all(found[name].lower <= found[name].value <= found[name].upper for name in MEASURES)
    [calibration] = details.calibration
    assert sum(one.n for one in calibration.bins) == 60
    assert calibration.curve[-1].coverage == 1.0 and calibration.curve[-1].accuracy == pytest.approx(0.8)
    wanted = {one.accuracy: one.reached for one in calibration.wanted}
    reached = wanted[0.9]
    assert reached is None or (reached.accuracy >= 0.9 and reached.n < 60)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Calibration" in page and "Accuracy by coverage" in page and page.count("<svg") >= 4


def test_a_case_without_an_answer_is_the_worst_and_never_a_good_one(tmp_path: Path) -> None:
    def behave(text: str, _: int) -> object:
        return ERROR if text.endswith("question 7") else Confident(*answered(text))

    report, details = run(tmp_path, behave, price=lambda prompt, completion: prompt * 1e-6 + completion * 2e-6)
    brier = next(m for m in report.measures if m.name == "brier")
    squares = [(answered(f"question {k}")[1] - (k % 5 != 0)) ** 2 for k in range(60) if k != 7]
    assert brier.n == 60 and brier.value == pytest.approx((sum(squares) + 1.0) / 60)
    assert details.calibration[0].curve[-1].coverage == pytest.approx(59 / 60)
    [spent] = details.spending
    assert (spent.cases, spent.good, spent.asked, spent.answered) == (60, 47, 60, 59)
    usd = 59 * (7 + 3 * 2) * 1e-6
    assert (spent.usd, spent.usd_per_answer, spent.usd_per_good) == pytest.approx((usd, usd / 59, usd / 47))
    assert spent.tokens_per_good == pytest.approx(590 / 47)


def test_where_a_server_gives_no_probabilities_the_report_says_so_and_measures_nothing(tmp_path: Path) -> None:
    report, details = run(tmp_path, lambda text, _: answered(text)[0])
    assert not MEASURES & {m.name for m in report.measures}
    assert "gives no log-probabilities" in details.calibration[0].unavailable
    assert details.spending[0].usd is None and details.spending[0].unpriced
    page = (tmp_path / "out" / "report.html").read_text()
    assert "not available: the server gives no log-probabilities" in page
    assert "no price is known for this server" in page


def test_one_answer_without_a_probability_makes_calibration_unavailable(tmp_path: Path) -> None:
    report, details = run(tmp_path, lambda text, n: answered(text)[0] if n == 9 else Confident(*answered(text)))
    assert not MEASURES & {m.name for m in report.measures}
    assert details.calibration[0].unavailable.endswith("(1 of 60 answers)")


def test_compare_shows_cost_by_answer_and_says_where_a_price_is_missing(tmp_path: Path) -> None:
    cases(tmp_path)
    for name, price in (("a", []), ("b", ["--usd-per-million", "1", "2"])):
        with chat_server(lambda text, _: Confident(*answered(text))) as server:
            arguments = ["--suite", "cases.jsonl", "--out", name, *price]
            assert flyball("evaluate", server.url, *arguments, cwd=tmp_path).code == 0
    text = flyball("compare", "a", "b", cwd=tmp_path)
    assert text.code == 0 and "usd_per_good" in text.out and "not available" in text.out, text.err
    document = flyball("compare", "a", "b", "--json", cwd=tmp_path).json
    rows = {row["figure"]: row for row in document["comparisons"][0]["spending"]}
    assert rows["usd_per_good"]["first"] is None and "no price is known" in rows["usd_per_good"]["why"]
    assert rows["usd_per_good"]["second"] == pytest.approx(60 * (7 + 3 * 2) * 1e-6 / 48)
    brier = [row for row in document["comparisons"][0]["differences"] if row["measure"] == "brier"]
    assert brier[0]["difference"] == 0.0


def test_a_real_engine_gives_the_probability_of_each_label(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_tiny_gguf(tmp_path / "model" / "model.gguf")
    release = dataclasses.replace(
        tiny_release(), task="classification", constraint=Constraint(kind="labels", labels=("hello", "refund"))
    )
    folder = write_test_split(tmp_path / "dataset", [(f"hi there {k}", "hello") for k in range(8)])
    with engine_process(release, tmp_path / "model") as url:
        report = evaluate(
            EvaluateConfig(suites=("test",), concurrency=2),
            project="shop",
            task="classification",
            release=release,
            release_name=name_of(release),
            dataset=None,
            dataset_dir=folder,
            root=tmp_path,
            completer=HttpCompleter(url, release=release, model="m", timeout_s=30.0, probabilities=True),
            engine="llama.cpp",
            out=tmp_path / "out",
        )
    assert {m.name for m in report.measures} >= MEASURES
    scores = [one for one in read_items(tmp_path / "out" / "items.jsonl") if one.measure == "brier"]
    assert len(scores) == 8 and all(0.0 < one.score < 1.0 and math.isfinite(one.score) for one in scores)
