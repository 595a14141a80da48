"""Bias between groups: measured by dimension and intersection, bounded by gate rules, never proven by few cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flyball.errors import InputError
from flyball.evaluation.case_answers import Answer
from flyball.evaluation.config import known_measures, suite_kind
from flyball.evaluation.item_scores import ItemScore, items_hash
from flyball.evaluation.scorer import measure_suites, score_suite
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import EvalReport, Measure
from flyball.rollout.config import GateRule
from flyball.rollout.gate_rules import judge
from flyball.rollout.gate_scores import evidence

Answers = Callable[[Item], str]


def write_rows(path: Path, n: int, *, ages: bool = False, cluster: bool = False) -> Path:
    lines = []
    for k in range(n):
        groups = {"gender": ["female", "male"][k % 2], **({"age": ["young", "old"][k // 2 % 2]} if ages else {})}
        row = {"text": f"case {k}", "label": ["approve", "reject"][k // 4 % 2], "groups": groups}
        row |= {"favourable": "approve"} | ({"cluster": f"c{k % 10}"} if cluster else {})
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines))
    return path


def measured(suite: Suite, answer: Answers) -> tuple[dict[tuple[str, str | None], Measure], list[ItemScore]]:
    answers = {item.key: Answer(key=item.key, total_ms=1.0, text=answer(item)) for item in suite.items}
    scores = list(score_suite(suite, answers, classification=True))
    return {(m.name, m.slice): m for m in measure_suites([suite], scores, level=0.95)}, scores


def harsh_on_women(item: Item) -> str:
    refused = item.groups["gender"] == "female" and int(item.messages[0].content.split()[1]) % 3 == 0
    return "reject" if refused else item.expected or ""


def groups_suite(path: Path) -> Suite:
    return load_suite(f"groups:{path.name}", dataset_dir=None, root=path.parent)


def test_a_difference_is_between_the_groups_of_a_dimension(tmp_path: Path) -> None:
    suite = groups_suite(write_rows(tmp_path / "loans.jsonl", 480))
    found, _ = measured(suite, harsh_on_women)
    women, men = found["favourable", "gender=female"].value, found["favourable", "gender=male"].value
    gap = found["statistical_parity_difference", "gender"]
    assert gap.value == pytest.approx(men - women) and gap.lower < gap.value < gap.upper and gap.n == 480
    assert found["disparate_impact", "gender"].value == pytest.approx(women / men)
    assert found["equal_opportunity_difference", "gender"].value == pytest.approx(1 / 3, abs=0.01)
    assert found["false_positive_rate_difference", "gender"].value == 0.0
    assert found["statistical_parity_difference", None].value == gap.value
    assert found["accuracy", "gender=male"].value == 1.0
    names = {name for name, _ in found} - {"errors"}
    assert names <= set(known_measures("bias", classification=True))


def test_intersections_are_compared_and_the_worst_dimension_stands_for_all(tmp_path: Path) -> None:
    suite = groups_suite(write_rows(tmp_path / "loans.jsonl", 480, ages=True))
    found, _ = measured(suite, harsh_on_women)
    name = "statistical_parity_difference"
    assert found[name, "age"].value < found[name, "gender"].value <= found[name, "gender+age"].value
    assert found[name, None].value == found[name, "gender"].value


def test_groups_that_are_alike_and_always_right_are_no_proof_when_few(tmp_path: Path) -> None:
    few, _ = measured(groups_suite(write_rows(tmp_path / "few.jsonl", 48)), lambda item: item.expected or "")
    many, _ = measured(groups_suite(write_rows(tmp_path / "many.jsonl", 1200)), lambda item: "approve")
    name = "statistical_parity_difference"
    assert few[name, "gender"].value == 0.0 and few[name, "gender"].upper > 0.15
    assert many[name, "gender"].upper < 0.02


def test_few_clusters_know_nothing(tmp_path: Path) -> None:
    suite = groups_suite(write_rows(tmp_path / "alike.jsonl", 480, cluster=True))
    found, _ = measured(suite, harsh_on_women)
    gap = found["statistical_parity_difference", "gender"]
    assert (gap.lower, gap.upper) == (0.0, 1.0)
    assert ("theil_index", None) not in found


def test_a_small_group_is_in_no_comparison_and_the_notes_name_it(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "loans.jsonl", 200)
    row = {"text": "one more", "label": "reject", "groups": {"gender": "other"}, "favourable": "approve"}
    path.write_text(path.read_text() + "\n" + json.dumps(row))
    suite = load_suite(f"groups:{path}", dataset_dir=None, root=tmp_path)
    assert any("under 20 cases are not compared: other (1)" in note for note in suite.notes)
    found, _ = measured(suite, lambda item: item.expected or "")
    assert found["statistical_parity_difference", "gender"].value == 0.0
    assert found["favourable", "gender=other"].n == 1


def test_answers_without_a_truth_are_compared_by_who_is_favoured(tmp_path: Path) -> None:
    items = tuple(
        Item(
            id=str(k),
            messages=groups_suite(write_rows(tmp_path / "x.jsonl", 1)).items[0].messages,
            groups={"g": "ab"[k % 2]},
            data={"favourable": ["yes"], "labels": ["yes", "no"]},
            request={"seed": k},
        )
        for k in range(100)
    )
    found, _ = measured(Suite(name="s", kind="bias", items=items), lambda item: ["Yes.", "no"][item.groups["g"] == "b"])
    assert found["statistical_parity_difference", "g"].value == 1.0
    assert not {name for name, _ in found} & {"error_rate_difference", "theil_index", "accuracy"}


def test_a_case_without_an_answer_is_not_favourable(tmp_path: Path) -> None:
    suite = groups_suite(write_rows(tmp_path / "loans.jsonl", 100))
    answers = {item.key: Answer(key=item.key, total_ms=1.0, error="died", fault="failed") for item in suite.items}
    scores = list(score_suite(suite, answers, classification=True))
    found = {(m.name, m.slice): m for m in measure_suites([suite], scores, level=0.95)}
    assert found["favourable", None].value == 0.0 and found["favourable", None].n == 100
    assert all(score.error == "died" for score in scores)


def test_a_rule_of_a_gate_bounds_a_difference(tmp_path: Path) -> None:
    suite = groups_suite(write_rows(tmp_path / "loans.jsonl", 1200))

    def verdict(answer: Answers, alpha: float = 0.05, **rule: object) -> tuple[bool, float]:
        found, scores = measured(suite, answer)
        report = EvalReport(
            project="p",
            release="r",
            dataset=None,
            suites=(suite.reference(),),
            measures=tuple(found.values()),
            items_hash=items_hash(scores),
            failures=0,
            engine="e",
            prompt_path=1,
        )
        judged = judge(GateRule(suite=suite.name, **rule), evidence(report, scores), None, alpha)  # type: ignore[arg-type]
        return judged.passed, judged.p_value

    bound = {"measure": "statistical_parity_difference", "slice": "gender", "at_most": 0.1}
    assert verdict(lambda item: item.expected or "", **bound)[0]
    passed, p_value = verdict(harsh_on_women, **bound)
    assert not passed and p_value <= 0.05
    assert verdict(lambda item: item.expected or "", alpha=0.001, **bound)[0]  # what later candidates get of alpha
    assert verdict(harsh_on_women, measure="theil_index", at_most=0.5)[0]
    assert not verdict(harsh_on_women, measure="theil_index", slice="age", at_most=0.5)[0]
    assert not verdict(harsh_on_women, measure="disparate_impact", at_least=0.8)[0]
    assert verdict(lambda item: "approve", measure="disparate_impact", at_least=0.8)[0]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"text": "a", "label": "b", "favourable": "b"}, "about no group"),
        ({"text": "a", "label": "b", "groups": {"g": "x"}}, "favourable is missing"),
        ({"text": "a", "label": "b", "groups": "x", "favourable": "b"}, "not an object"),
        ({"text": "a", "label": "b", "groups": {"g+h": "x"}, "favourable": "b"}, "contains = or"),
        ({"text": "a", "label": "b", "groups": {"g": "x"}, "favourable": [None]}, "favourable is"),
    ],
)
def test_a_row_that_cannot_be_compared_is_named(tmp_path: Path, row: dict[str, object], what: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(InputError, match=r"bad\.jsonl:1") as mistake:
        groups_suite(path)
    assert what in mistake.value.message


def test_columns_of_a_table_name_groups_too(tmp_path: Path) -> None:
    lines = ["text,label,group_gender,favourable", *(f"t{k},yes,{'fm'[k % 2]},yes" for k in range(50))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    suite = groups_suite(tmp_path / "t.csv")
    assert {item.groups["gender"] for item in suite.items} == {"f", "m"}
    assert suite_kind("groups:t.csv") == "bias"
