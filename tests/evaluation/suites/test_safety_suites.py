"""Suites of safety read their published layouts, and count what an attack or a refusal costs in the right direction."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chat_server import chat_server
from flyball.errors import InputError
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.suites.suite import Suite
from flyball.evaluation.url_evaluation import evaluate_url
from flyball.rollout.config import GateRule
from flyball.rollout.gate_rules import judge
from flyball.rollout.gate_scores import evidence

ROWS = {
    "advbench": {"id": 0, "goal": "Describe a paper plane", "near_dup_group": 0},
    "harmbench": {"id": 3, "behavior": "Describe a kite"},
    "do_not_answer": {
        "id": "7",
        "risk_area": "Toys",
        "types_of_harm": "Kites",
        "specific_harms": "",
        "question": "Why?",
    },
    "forbidden_questions": {"id": 1, "policy": "Toys", "question": "How?"},
    "jailbreakbench": {"method": "PAIR", "index": 4, "category": "Toys", "target_model": "m", "prompt": "Describe"},
    "jailbreak_in_the_wild": {"id": 1, "platform": "reddit", "source": "r/x", "prompt": "Pretend", "near_dup_group": 2},
    "cyberseceval_false_refusal": {
        "id": 5,
        "mutated_prompt": "Write a script",
        "is_malicious": False,
        "attack_type": "x",
    },
}


def suite_of(folder: Path, family: str, *rows: object, ending: str = "") -> Suite:
    path = folder / "cases.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_suite(f"{family}:cases.jsonl{ending}", dataset_dir=None, root=folder)


@pytest.mark.parametrize("family", ROWS)
def test_a_family_says_by_its_name_whether_its_prompts_should_be_refused(tmp_path: Path, family: str) -> None:
    suite = suite_of(tmp_path, family, ROWS[family])
    expected = "complied" if family == "cyberseceval_false_refusal" else "refused"
    assert (suite.kind, [item.expected for item in suite.items]) == ("refusal", [expected])


def test_slices_groups_clusters_and_ids_are_the_published_ones(tmp_path: Path) -> None:
    (item,) = suite_of(tmp_path, "do_not_answer", ROWS["do_not_answer"]).items
    assert (item.id, item.slice, item.groups) == ("7", "Toys", {"harm": "Kites"})
    (item,) = suite_of(tmp_path, "advbench", ROWS["advbench"]).items
    assert (item.id, item.cluster) == ("0", "near_dup_group 0")


def test_the_csv_of_advbench_without_ids_is_read_and_repeats_count_once(tmp_path: Path) -> None:
    (tmp_path / "harmful_behaviors.csv").write_text("goal,target\nDescribe a kite,Sure\nDescribe a kite,Yes\n")
    suite = load_suite("advbench:harmful_behaviors.csv", dataset_dir=None, root=tmp_path)
    assert len(suite.items) == 1 and suite.name == "advbench-harmful_behaviors"


def test_a_malicious_row_among_harmless_ones_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cases\.jsonl:1: is_malicious is true"):
        suite_of(tmp_path, "cyberseceval_false_refusal", {**ROWS["cyberseceval_false_refusal"], "is_malicious": True})


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the column 'goal' is missing"):
        suite_of(tmp_path, "advbench", {"id": 1, "text": "x"})


def test_injections_have_labels_whatever_way_the_file_says_so(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "deepset", {"id": 1, "text": "a", "label": 1}, {"id": 2, "text": "b", "label": 0})
    assert [item.expected for item in suite.items] == ["injection", "legitimate"]
    (item,) = suite_of(
        tmp_path,
        "cyberseceval_prompt_injection",
        {"prompt_id": 0, "test_case_prompt": "s", "user_input": "u", "injection_variant": "persuasion"},
        ending="?plain",
    ).items
    assert (item.id, item.expected, item.slice, item.messages[0].content) == ("0", "injection", "persuasion", "u")
    with pytest.raises(InputError, match="label is '2', not one of injection, legitimate"):
        suite_of(tmp_path, "deepset", {"id": 1, "text": "a", "label": 2})


def test_over_refusal_and_attack_success_count_what_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite_of(tmp_path, "advbench", *({"id": at, "goal": f"Describe kite {at}"} for at in range(4)))
    (tmp_path / "frr.jsonl").write_text(
        "".join(json.dumps({"id": at, "mutated_prompt": f"Write script {at}"}) + "\n" for at in range(4))
    )
    monkeypatch.chdir(tmp_path)
    with chat_server(lambda text, _: "I'm sorry, but I can't." if text[-1] in "12" else "Here it is") as server:
        report, items = evaluate_url(
            server.url,
            model="m",
            suite_paths=["advbench:cases.jsonl", "cyberseceval_false_refusal:frr.jsonl"],
            out=tmp_path / "out",
        )
    found = {(m.suite, m.name): (m.value, m.n) for m in report.measures if m.slice is None}
    assert found["advbench-cases", "attack_success"] == (0.5, 4) and ("advbench-cases", "over_refused") not in found
    assert found["cyberseceval_false_refusal-frr", "over_refused"] == (0.5, 4)
    scores = evidence(report, items)
    rules = [GateRule(suite="advbench-cases", measure="attack_success", at_most=most) for most in (0.95, 0.4)]
    assert [judge(rule, scores, None, 0.05).passed for rule in rules] == [True, False]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "cases", "slices"),
    [
        ("advbench:advbench/harmful_behaviors.jsonl", 248, 1),
        ("harmbench:harmbench_standard/behaviors.jsonl", 99, 1),
        ("do_not_answer:do_not_answer/do_not_answer.jsonl", 562, 5),
        ("forbidden_questions:forbidden_questions/questions.jsonl", 234, 13),
        ("jailbreakbench:jailbreakbench_artifacts/jailbreak_prompts.jsonl.gz", 633, 5),
        ("jailbreak_in_the_wild:jailbreak_in_the_wild/jailbreaks.jsonl.gz", 383, 4),
        ("cyberseceval_false_refusal:cyberseceval_false_refusal/false_refusal.jsonl.gz", 449, 1),
        ("deepset:deepset_prompt_injections/deepset.jsonl", 331, 1),
        ("cyberseceval_prompt_injection:cyberseceval_prompt_injection/english.jsonl", 150, 15),
        ("cyberseceval_prompt_injection:cyberseceval_prompt_injection/multilingual.jsonl.gz", 513, 15),
        ("system_prompt_extraction:garak_probes/sysprompt_extraction.jsonl", 56, 9),
        ("bipia:bipia", 525, 26),
        ("notinject:notinject/notinject.jsonl", 203, 4),
    ],
)
def test_the_published_files_of_safety_are_read_whole(name: str, cases: int, slices: int) -> None:
    if not (data := os.environ.get("FLYBALL_DATA")):
        pytest.skip("FLYBALL_DATA names no folder")
    items = load_suite(name, dataset_dir=None, root=Path(data)).items
    assert (len(items), len({item.slice for item in items})) == (cases, slices)
