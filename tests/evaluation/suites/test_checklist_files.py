"""CheckList's raw files are read as cases, and our cases are written as such files, with the same failure rates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chat_server import chat_server
from flyball.cli.main import run
from flyball.errors import InputError
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.suites.suite import Suite
from flyball.evaluation.url_evaluation import evaluate_url
from flyball.records import EvalReport
from own_environment import own_environment

LABELS = ["negative", "neutral", "positive"]
TESTS: list[dict[str, Any]] = [
    {"name": "praise", "capability": "Vocabulary", "type": "MFT", "cases": [1, 1], "labels": 2},
    {"name": "pairs", "capability": "Logic", "type": "MFT", "cases": [2, 2], "labels": [[2, 0], "positive"]},
    {"name": "typos", "capability": "Robustness", "type": "INV", "cases": [3, 2]},
    {"name": "worse", "capability": "Negation", "type": "DIR", "cases": [2], "direction": "down"},
]
LINES = [
    *("It is great.", "It is good."),
    *("good", "awful", "nice", "fine"),
    *("The good tea", "Teh good tea", "The gud tea", "A bad tea", "A bad teaa"),
    *("It is good", "It is not good"),
]
CHECKS = """
labels: [negative, neutral, positive]
prompt: "Sentiment? {text}"
lexicons: {good: [great, lovely, superb], food: [pizza, apple]}
tests:
- {name: praise, capability: Vocabulary, type: MFT, templates: ["The {food} is {good}."], expect: positive}
- {name: names, capability: Fairness, type: INV, samples: 12, templates: ["{first_name}: {good}."], vary: first_name}
- {name: typos, capability: Robustness, type: INV, texts: ["It could have been\\nbetter."], edits: [typo, casing]}
- name: worse
  capability: Negation
  type: DIR
  templates: ["The {food} is {good}."]
  edits: [negation]
  add: ["I hate it."]
  direction: down
"""


def answer(text: str, _: object) -> str:
    """Knows no negation, takes some names amiss, and is at times at a loss."""
    if "lovely" in text and "apple" in text:
        return "It depends."
    return "negative" if re.search("hate|bad|awful|Ay|[AEO]l", text) else "It is positive."


def write(folder: Path, *, lines: list[str] = LINES, file: str = "raw.jsonl", **index: Any) -> Path:
    folder.mkdir(exist_ok=True)
    rows = map(json.dumps, lines) if file.endswith("l") else lines
    (folder / file).write_text("\n".join(rows))
    (folder / "tests.json").write_text(json.dumps({"file": file, "labels": LABELS, "tests": TESTS} | index))
    return folder


def loaded(folder: Path, file: str = "") -> Suite:
    return load_suite(f"checklist:{folder.name}{file}", dataset_dir=None, root=folder.parent)


def measured(folder: Path, suite: str, monkeypatch: pytest.MonkeyPatch) -> EvalReport:
    monkeypatch.chdir(folder)
    with chat_server(answer) as server:
        return evaluate_url(server.url, model="m", suite_paths=[suite], out=folder / "report")[0]


@pytest.mark.parametrize("file", ["raw.jsonl", "raw.txt"])
def test_each_line_is_a_case_of_its_test(tmp_path: Path, file: str) -> None:
    items = loaded(write(tmp_path / "theirs", file=file)).items
    said = [(item.slice, item.original and item.original[0].content, item.messages[0].content) for item in items]
    assert said == [
        ("praise", None, "It is great."),
        ("praise", None, "It is good."),
        *(("pairs", None, text) for text in LINES[2:6]),
        ("typos", "The good tea", "Teh good tea"),
        ("typos", "The good tea", "The gud tea"),
        ("typos", "A bad tea", "A bad teaa"),
        ("worse", "It is good", "It is not good"),
    ]
    expected = [*["positive"] * 2, "positive", "negative", *["positive"] * 2, *[None] * 4]
    assert [item.expected for item in items] == expected
    assert len({item.id for item in items}) == 10 and items[-1].groups["cell"] == "Negation · DIR"


def test_a_test_case_fails_with_any_of_its_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "theirs", lines=[line.replace("Teh good", "Teh bad") for line in LINES])
    report = measured(tmp_path, "checklist:theirs", monkeypatch)
    found = {(m.name, m.slice): m.value for m in report.measures}
    assert found["failure_rate", "typos"] == pytest.approx(1 / 3) and found["case_failure_rate", "typos"] == 0.5
    assert found["case_failure_rate", "capability=Robustness"] == 0.5
    assert found["case_failure_rate", None] == pytest.approx(1 / 7)


RIGHT = [2, 2, 2, 0, 2, 2, 2, 2, 1, 0, 0, 2, 2]
"""Right but for one of the typos."""
CERTAIN = {0: "0.8 0.1 0.1", 1: "0.1 0.8 0.1", 2: "0.1 0.2 0.7"}


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("pred_only", str),
        ("pred_only", lambda at: LABELS[at]),
        ("pred_and_conf", lambda at: f"{at} 0.9"),
        ("pred_and_softmax", lambda at: f"{at} {CERTAIN[at]}"),
        ("softmax", CERTAIN.__getitem__),
    ],
)
def test_predictions_of_each_form_score_test_cases(tmp_path: Path, form: str, line: Any) -> None:
    folder = write(tmp_path / "theirs")
    (folder / "predictions.txt").write_text("\n".join(map(line, RIGHT)) + "\n")
    suite = loaded(folder, "?predictions.txt")
    assert suite.elsewhere and f"read as {form})" in suite.notes[-1]
    scores = [(item.slice, suite.elsewhere.scores[item.id]) for item in suite.items]
    whole = [*[("praise", 1.0)] * 2, *[("pairs", 1.0)] * 2, ("typos", 0.0), ("typos", 1.0), ("worse", 1.0)]
    assert scores == whole


def test_a_probability_of_two_labels_is_a_prediction(tmp_path: Path) -> None:
    test = {"name": "t", "capability": "c", "type": "INV", "cases": [2, 2]}
    folder = write(tmp_path / "two", lines=["a", "b", "c", "d"], labels=["no", "yes"], tests=[test])
    (folder / "p").write_text("0.9\n0.6\n0.5\n1.0")  # a half is the first label, as NumPy's argmax has it
    suite = loaded(folder, "?p")
    assert suite.elsewhere and list(suite.elsewhere.scores.values()) == [1.0, 0.0]


def test_a_report_on_predictions_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "theirs")
    (folder / "predictions.txt").write_text("\n".join(map(str, RIGHT)))
    report = measured(tmp_path, "checklist:theirs?predictions.txt", monkeypatch)
    found = {m.slice: m.value for m in report.measures if m.name == "score"}
    assert found["typos"] == 0.5 and found["type=MFT"] == 1.0 and report.elsewhere
    assert report.elsewhere[0].file == "predictions.txt"


def test_what_is_written_is_read_as_the_same_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checks.yaml").write_text(CHECKS)
    report = measured(tmp_path, "checklist:checks.yaml", monkeypatch)
    capsys.readouterr()
    assert run(["suite", "export", "checklist:checks.yaml", "ours", "--report", "report", "--json"]) == 0
    made = msgspec.json.decode(capsys.readouterr().out)
    ours, again = load_suite("checklist:checks.yaml", dataset_dir=None, root=tmp_path), loaded(tmp_path / "ours")
    assert made == {"written": "ours", "tests": 4, "cases": len(ours.items), "predictions": 2 * len(ours.items) - 6}
    same = [(i.slice, i.messages, i.original, i.expected, i.groups["cell"]) for i in ours.items]
    assert [(i.slice, i.messages, i.original, i.expected, i.groups["cell"]) for i in again.items] == same
    raw = [json.loads(line) for line in (tmp_path / "ours" / "raw.jsonl").read_text().split("\n")]
    assert "It could have been\nbetter." in raw and not any("Sentiment?" in line for line in raw)
    scored = loaded(tmp_path / "ours", "?predictions.txt")
    passed = {m.slice: m.value for m in report.measures if m.name == "passed"}
    assert scored.elsewhere and 0.0 < passed["names"] < 1.0 and 0.0 < passed["praise"] < 1.0
    for name in ("praise", "names", "typos", "worse"):
        scores = [scored.elsewhere.scores[item.id] for item in scored.items if item.slice == name]
        assert sum(scores) / len(scores) == pytest.approx(passed[name])
    assert run(["suite", "export", "checklist:checks.yaml", "ours"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(["suite", "export", "checklist:ours", "twice"]) == 0
    assert loaded(tmp_path / "twice").items == again.items


def test_tests_that_are_functions_are_left_out_by_name(tmp_path: Path) -> None:
    tests = [TESTS[0] | {"labels": None}, TESTS[1], TESTS[2] | {"cases": [3, 1, 1]}, TESTS[3] | {"direction": None}]
    suite = loaded(write(tmp_path / "theirs", tests=tests))
    assert {item.slice for item in suite.items} == {"pairs", "typos"}
    assert [re.findall(r"'(\w+)'|(\d) test cases", note) for note in suite.notes] == [
        [("praise", "")],
        [("", "2"), ("typos", "")],
        [("worse", "")],
    ]


@pytest.mark.parametrize(
    ("index", "lines", "what"),
    [
        ({}, LINES[1:], "has 12 lines, but tests.json says 13"),
        ({"tests": [TESTS[0] | {"labels": 3, "cases": [13]}]}, LINES, "expects 3, which is none of the labels"),
        ({"tests": [TESTS[0] | {"labels": ["positive"]}], "file": "raw.txt"}, LINES[:2], "no label for case 1"),
        ({"tests": [TESTS[0], TESTS[0]]}, LINES, "two tests are called 'praise'"),
        ({"tests": [TESTS[0] | {"type": "XYZ"}]}, LINES, "XYZ"),
        ({"tests": [TESTS[0] | {"cases": [2, 0]}]}, LINES, "a case of no lines"),
        ({"prompt": "Sentiment?"}, LINES, "prompt has no {text}"),
        ({"file": "../raw.jsonl"}, LINES, "a path"),
        ({}, [*LINES[:12], 7], "raw.jsonl:13 is 7, not a text"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, index: dict[str, Any], lines: list[Any], what: str) -> None:
    with pytest.raises(InputError) as refused:
        loaded(write(tmp_path / "theirs", lines=lines, **index))
    assert what in refused.value.message and refused.value.cure


def test_predictions_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "theirs")
    for text, what in (("1\n2", "has 2 lines"), ("\n".join(["3"] * 13), "line 1 names label 3")):
        (folder / "p").write_text(text)
        with pytest.raises(InputError, match=what):
            loaded(folder, "?p")


PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "evaluate.md").read_text()
WRITES, READS = re.findall(r"```python\n(.*?)```", PAGE.partition("### Exchange with CheckList")[2], re.S)[:2]
MAKES = """
import json
from checklist.editor import Editor
from checklist.expect import Expect
from checklist.test_suite import TestSuite
from checklist.test_types import DIR, INV, MFT

texts = Editor().template("It is {good}.", good=["great", "lovely", "superb", "bad"], labels=2)
suite = TestSuite()
suite.add(MFT(texts.data, labels=texts.labels), name="praise", capability="Vocabulary")
pairs = [["It is great.", "It is awful."], ["It is bad.", "It is lovely."]]
suite.add(MFT(pairs, labels=[[2, 0], [0, 2]]), name="pairs", capability="Logic")
edited = [[text, text.upper(), text + " Al says so."] for text in texts.data]
suite.add(INV(edited), name="names", capability="Fairness")
suite.add(DIR([["It is great."]*2], Expect.pairwise(lambda *_: True)), name="any", capability="Negation")
write_suite(suite, "theirs", ["negative", "neutral", "positive"])
print(json.dumps([[name, test.data] for name, test in suite.tests.items()]))
"""
INSTALLS = (
    ("setuptools<70", "wheel", "notebook<7"),
    ("--no-build-isolation", "--no-deps", "checklist==0.0.11"),
    ("numpy", "munch", "dill", "ipywidgets", "pycountry", "ipython<8.13", "iso-639", "spacy"),
)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_real_package_gives_and_takes_the_same_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own environment (it needs old versions of others), and the Python of our page."""
    checklist = own_environment(tmp_path, *INSTALLS)
    (tmp_path / "theirs").mkdir()
    theirs = dict(checklist(WRITES + MAKES))
    suite = loaded(tmp_path / "theirs")
    ask = "What is the sentiment? {}".format
    by_test = {name: [i for i in suite.items if i.slice == name] for name in theirs}
    assert [i.messages[0].content for i in by_test["praise"]] == [ask(text) for text in theirs["praise"]]
    assert [i.expected for i in by_test["pairs"]] == ["positive", "negative", "negative", "positive"]
    assert not by_test["any"] and "'any' is left out" in suite.notes[0]
    edited = [(i.original[0].content if i.original else None, i.messages[0].content) for i in by_test["names"]]
    assert edited == [(ask(case[0]), ask(text)) for case in theirs["names"] for text in case[1:]]

    (tmp_path / "checks.yaml").write_text(CHECKS)
    for name, measure in (("checks.yaml", "failure_rate"), ("theirs", "case_failure_rate")):
        report = measured(tmp_path, f"checklist:{name}", monkeypatch)
        folder = f"exported-{name}"
        assert run(["suite", "export", f"checklist:{name}", folder, "--report", "report"]) == 0
        rates = "print(json.dumps({name: test.get_stats().fail_rate for name, test in suite.tests.items()}))"
        found = checklist(READS.replace('"exported', f'"{folder}') + rates)
        ours = {m.slice: 100 * m.value for m in report.measures if m.name == measure and m.slice in found}
        assert found == pytest.approx(ours) and len(set(ours.values())) > 1
