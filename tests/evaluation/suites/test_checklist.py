"""Behaviour tests in YAML become cases, fail where a model misbehaves, and are refused where they make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat_server import chat_server
from flyball.errors import InputError, NotFoundError
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.suites.suite import Suite
from flyball.evaluation.suites.templates import filled
from flyball.evaluation.url_evaluation import evaluate_url

CHECKS = """
labels: [negative, neutral, positive]
prompt: "Sentiment? {text}"
lexicons:
  good: [great, lovely, superb]
  food: [pizza, apple]
tests:
- name: praise
  capability: vocabulary
  type: MFT
  templates: ["The {food} is {good}.", "{a:food} that is {good}"]
  expect: positive
- name: names
  capability: fairness
  type: INV
  templates: ["{first_name} found the {food} {good}."]
  vary: first_name
  locales: [en, tr]
  samples: 12
- name: typos
  capability: robustness
  type: INV
  texts: ["The service could not have been better."]
  edits: [typo, contractions, homoglyphs]
- name: worse
  capability: negation
  type: DIR
  templates: ["The {food} is {good}."]
  edits: [negation]
  add: ["I hate it."]
  direction: down
"""


def suite_of(folder: Path, text: str) -> Suite:
    (folder / "checks.yaml").write_text(text)
    return load_suite("checklist:checks.yaml", dataset_dir=None, root=folder)


def test_templates_lists_and_edits_become_cases_with_stable_ids(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, CHECKS)
    by_test = {name: [i for i in suite.items if i.slice == name] for name in ("praise", "names", "typos", "worse")}
    assert {name: len(items) for name, items in by_test.items()} == {"praise": 12, "names": 12, "typos": 3, "worse": 12}
    praise = {item.messages[0].content for item in by_test["praise"]}
    assert {"Sentiment? an apple that is great", "Sentiment? a pizza that is great"} < praise
    assert {item.groups["locale"] for item in by_test["names"]} == {"en", "tr"}
    assert all(item.original and item.original != item.messages for item in by_test["names"])
    assert {item.groups["edit"] for item in by_test["worse"]} == {"negation", "add"}
    assert by_test["worse"][0].groups["cell"] == "negation · DIR"
    assert len({item.cluster for item in by_test["praise"]}) == 2
    assert suite == suite_of(tmp_path, CHECKS)


def test_two_places_of_one_list_differ_and_samples_bound_what_is_made() -> None:
    lists = {"food": ["a", "b", "c"]}
    texts = {made.text for made in filled("{food1} or {food2}", lists, 100, "t")}
    assert len(texts) == 6 and "a or a" not in texts
    assert len(list(filled("{food1}{food2}{food3}{food4}{food5}", {"food": list("abcdefghij")}, 50, "t"))) == 50


def test_failure_rates_are_by_test_and_by_capability_and_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite_of(tmp_path, CHECKS)
    monkeypatch.chdir(tmp_path)

    def answer(text: str, _: object) -> str:  # knows no negation and not the letter о of Cyrillic
        return "negative" if "hate" in text or "Ay" in text else "It is positive."

    with chat_server(answer) as server:
        report, items = evaluate_url(server.url, model="m", suite_paths=["checklist:checks.yaml"], out=tmp_path / "out")
    found = {(m.name, m.slice): m for m in report.measures}
    assert found["failure_rate", "praise"].value == 0.0
    assert found["failure_rate", "cell=negation · DIR"].value == 0.0  # down: it may stay where it was
    assert 0 < found["failure_rate", "locale=tr"].value < 1 and found["failure_rate", "locale=en"].value == 0.0
    whole = found["failure_rate", None]
    assert whole.value == pytest.approx(1 - found["passed", None].value) and whole.lower <= whole.value <= whole.upper
    assert not {item.answer for item in items} - {"positive", "negative", None}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Behaviour by capability and type of test" in page and "0.0% (0.0% to" in page


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("type: MFT", "type: XYZ", "XYZ"),
        ("  expect: positive", "  expect: postive", "'postive', which is none of the labels"),
        ("  expect: positive", "  samples: 5", "no expect"),
        ("  direction: down", "  samples: 5", "no direction"),
        ("[typo, contractions, homoglyphs]", "[tipo]", "no edit of a INV is called tipo"),
        ("[typo, contractions, homoglyphs]", "[negation]", "no edit of a INV is called negation"),
        ("[typo, contractions, homoglyphs]", "[places]", "makes no case"),
        ("{food} is {good}.", "{fod} is {good}.", "no list fills {fod}"),
        ("food: [pizza, apple]", "food: []", "the list food is empty"),
        ("locales: [en, tr]", "locales: [xx]", "no names of the locale 'xx'"),
        ("vary: first_name", "vary: city", "varies city"),
        ("- name: names", "- name: praise", "two tests are called 'praise'"),
        ('"Sentiment? {text}"', '"Sentiment?"', "prompt has no {text}"),
        ("labels: [negative, neutral, positive]", "labels: []", "the file has no labels"),
        ("tests:", "testz:", "testz"),
        ("tests:", "tests: [", "is not YAML"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path, old: str, new: str, what: str) -> None:
    assert old in CHECKS
    with pytest.raises(InputError) as refused:
        suite_of(tmp_path, CHECKS.replace(old, new, 1))
    assert what in refused.value.message and refused.value.cure


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.yaml"):
        load_suite("checklist:none.yaml", dataset_dir=None, root=tmp_path)
