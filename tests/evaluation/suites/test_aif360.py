"""Answers go to AI Fairness 360 and come from it, and both measure the same bias."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chat_server import ERROR, chat_server
from fairness_samples import AIF360, sample
from flyball.cli.main import run
from flyball.errors import InputError, NotFoundError
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.url_evaluation import evaluate_url
from flyball.records import EvalReport
from flyball.statistics.fairness import DIFFERENCES, PAIRS, RATIOS
from own_environment import own_environment

SUPPORT = Path(__file__).parents[2] / "support"
STORED = json.loads((SUPPORT / "fairness_values.json").read_text())
INDICES = ("generalized_entropy_index", "theil_index", "coefficient_of_variation")
BETWEEN = tuple(f"between_group_{name}" for name in INDICES)
ARGUMENTS = {"label_names": ["truth"], "protected_attribute_names": ["sex", "age"]}


def table(path: Path, rows: list[dict[str, Any]], **arguments: Any) -> None:
    """A table as AIF360's data frame, and the JSON beside."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    path.with_suffix(".json").write_text(json.dumps(ARGUMENTS | arguments))


def rows_of(seed: int) -> list[dict[str, Any]]:
    return [
        {"sex": float(c.sex), "age": float(c.age), "truth": float(c.truth), "prediction": float(c.answer)}
        for c in sample(seed)
    ]


def measured(folder: Path, suite: str, monkeypatch: pytest.MonkeyPatch, behave: Any = lambda *_: "no") -> EvalReport:
    monkeypatch.chdir(folder)
    with chat_server(behave) as server:
        return evaluate_url(server.url, model="m", suite_paths=[suite], out=folder / "report")[0]


def as_ours(name: str, value: float) -> float:
    """AIF360's signed value as the measures of any number of groups have it."""
    return min(value, 1 / value) if name in RATIOS else abs(value)


def of_dimension(report: EvalReport, dimension: str) -> dict[str, float]:
    return {m.name: m.value for m in report.measures if m.slice == dimension or (not m.slice and m.name in INDICES)}


@pytest.mark.parametrize("seed", sorted(STORED))
def test_a_table_is_measured_as_aif360_measured_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: str) -> None:
    table(tmp_path / "answers.csv", rows_of(int(seed)))
    report = measured(tmp_path, "aif360:answers.csv", monkeypatch)
    found, wanted = of_dimension(report, "sex"), STORED[seed]["aif360"]
    for name in (*PAIRS, *INDICES, *BETWEEN):
        assert found[name] == pytest.approx(as_ours(name, wanted[name]), abs=1e-9), name
    assert report.elsewhere and report.elsewhere[0].file == "answers.csv" and not report.failures


def test_the_labels_of_a_data_set_are_compared_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{key: value for key, value in row.items() if key != "prediction"} for row in rows_of(1)]
    table(tmp_path / "data.csv", rows)
    report = measured(tmp_path, "aif360:data.csv", monkeypatch)
    wanted = STORED["1"]["aif360"]["data_statistical_parity_difference"]
    found = of_dimension(report, "sex")
    assert found["statistical_parity_difference"] == pytest.approx(abs(wanted), abs=1e-9)
    assert "equal_opportunity_difference" not in found


def loans(path: Path) -> list[dict[str, Any]]:
    """Cases of groups that a server is asked, some without an age."""
    cases = [
        {
            "text": f"{number}: a {'woman' if c.sex else 'man'} {'granted' if c.answer else 'not'}",
            "label": "approve" if c.truth else "reject",
            "groups": {"gender": "female" if c.sex else "male"} | ({"age": f"{c.age}0s"} if number % 9 else {}),
            "favourable": "approve",
        }
        for number, c in enumerate(sample(7, n=400))
    ]
    path.write_text("\n".join(map(json.dumps, cases)))
    return cases


def bank(text: str, _: int) -> object:
    """Answers as the sample does; out of order at times."""
    return ERROR if text.startswith(("3:", "17:")) else "approve" if "granted" in text else "reject"


@pytest.mark.parametrize("file", ["loans.csv", "loans.parquet"])
def test_what_is_written_is_measured_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    if file.endswith("parquet"):
        pytest.importorskip("pyarrow")
    loans(tmp_path / "asked.jsonl")
    first = measured(tmp_path, "groups:asked.jsonl", monkeypatch, bank)
    capsys.readouterr()
    export = ["suite", "export", "groups:asked.jsonl", file, "--report", "report"]
    assert run([*export, "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["cases"] == 400
    again = measured(tmp_path, f"aif360:{file}", monkeypatch)
    kept = [
        [(m.name, m.slice, m.value, m.lower, m.upper) for m in r.measures if m.name != "errors"] for r in (first, again)
    ]
    assert kept[0] == kept[1] and first.failures == 2
    assert run(export) == 2 and "is there already" in capsys.readouterr().err
    assert run(["suite", "export", "groups:asked.jsonl", "other.csv"]) == 2
    assert "--report" in capsys.readouterr().err
    assert run(["suite", "export", "groups:none.jsonl", "other.csv", "--report", "report"]) == 2
    assert "no cases with groups" in capsys.readouterr().err


def test_weights_are_read_and_said_to_be_unused(tmp_path: Path) -> None:
    rows = [row | {"w": 0.5 + number % 2} for number, row in enumerate(rows_of(1))]
    table(tmp_path / "answers.csv", rows, instance_weights_name="w")
    suite = load_suite("aif360:answers.csv", dataset_dir=None, root=tmp_path)
    assert suite.items[1].weight == 1.5 and "have weights" in suite.notes[1]


def test_rows_without_a_group_are_counted(tmp_path: Path) -> None:
    rows = rows_of(1)
    table(tmp_path / "answers.csv", [rows[0] | {"sex": ""}, *rows[1:]])
    suite = load_suite("aif360:answers.csv", dataset_dir=None, root=tmp_path)
    assert any(f"1 of {len(rows)} rows have no sex and are not compared by it" in note for note in suite.notes)


@pytest.mark.parametrize(
    ("row", "arguments", "what"),
    [
        ({"truth": 2.0}, {}, "answers.csv:3: truth is 2, neither 1 nor 0"),
        ({"prediction": "yes"}, {}, "prediction is 'yes', not a number"),
        ({}, {"label_names": ["credit"]}, "the column credit is missing"),
        ({}, {"protected_attribute_names": ["race"]}, "the column race is missing"),
        ({}, {"label_names": []}, "label_names"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, row: dict[str, Any], arguments: dict[str, Any], what: str) -> None:
    rows = rows_of(1)[:30]
    table(tmp_path / "answers.csv", [rows[0], rows[1] | row, *rows[2:]], **arguments)
    with pytest.raises(InputError) as refused:
        load_suite("aif360:answers.csv", dataset_dir=None, root=tmp_path)
    assert what in refused.value.message and refused.value.cure


def test_a_table_without_its_arguments_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("sex,truth\n1,1\n")
    with pytest.raises(NotFoundError, match=r"answers\.json"):
        load_suite("aif360:answers.csv", dataset_dir=None, root=tmp_path)


PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "bias.md").read_text()
READS, WRITES = re.findall(r"```python\n(.*?)```", PAGE.partition("## Exchange with AI Fairness 360")[2], re.S)[:2]
METRICS = """
from aif360.metrics import ClassificationMetric

def values(truth, answers, names, attribute, of=None):
    sides = [[{attribute: code}] for code in (of or (0, 1))]
    metric = ClassificationMetric(truth, answers, unprivileged_groups=sides[0], privileged_groups=sides[1])
    return {name: float(getattr(metric, name)()) for name in names}
"""
MAKES = """
frame = pandas.DataFrame(ROWS)
truth = BinaryLabelDataset(df=frame.drop(columns="prediction"), label_names=["truth"],
    protected_attribute_names=["sex", "age"], favorable_label=1, unfavorable_label=0)
answers = truth.copy(deepcopy=True)
answers.labels = frame[["prediction"]].to_numpy(dtype=float)
write_answers(truth, answers, "theirs")
print(json.dumps(values(truth, answers, NAMES, "sex")))
"""


@pytest.mark.long
@pytest.mark.timeout(900)
def test_aif360_itself_reads_and_writes_the_same_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own environment (490 MB), and the Python of our page."""
    python = own_environment(tmp_path, [f"aif360=={AIF360}"])
    names = [*PAIRS, *INDICES, *BETWEEN]
    start = READS + WRITES + METRICS + f"NAMES = {names}\n"

    theirs = python(f"{start}ROWS = {rows_of(21)}\n{MAKES}")
    found = of_dimension(measured(tmp_path, "aif360:theirs.csv", monkeypatch), "sex")
    for name in names:
        assert found[name] == pytest.approx(as_ours(name, theirs[name]), abs=1e-9), name

    loans(tmp_path / "asked.jsonl")
    ours = measured(tmp_path, "groups:asked.jsonl", monkeypatch, bank)
    assert run(["suite", "export", "groups:asked.jsonl", "loans.csv", "--report", "report"]) == 0
    maps = json.loads((tmp_path / "loans.json").read_text())["metadata"]["protected_attribute_maps"]
    assert maps == [{"0": "female", "1": "male"}, {"0": "", "1": "00s", "2": "10s", "3": "20s"}]
    by_gender = python(f"{start}print(json.dumps(values(*read_answers('loans'), NAMES, 'gender')))")
    found = of_dimension(ours, "gender")
    for name in names:
        assert found[name] == pytest.approx(as_ours(name, by_gender[name]), abs=1e-9), name
    pairs = [
        python(f"{start}print(json.dumps(values(*read_answers('loans'), {list(DIFFERENCES)}, 'age', {two})))")
        for two in ((1, 2), (1, 3), (2, 3))
    ]
    for name in DIFFERENCES:
        largest = max(abs(pair[name]) for pair in pairs)
        assert math.isclose(of_dimension(ours, "age")[name], largest, abs_tol=1e-9), name
