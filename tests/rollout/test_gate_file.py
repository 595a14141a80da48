"""A gate file is read as it is meant, and what is wrong in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.errors import ConfigError, NotFoundError
from flyball.rollout.config import GateRule
from flyball.rollout.gate_file import load_gate


def test_a_gate_file_is_read_and_its_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text("alpha: 0.1\nrules:\n- {suite: cases, measure: exact_match, at_least: 0.7}\n")
    assert load_gate(path).rules == (GateRule(suite="cases", measure="exact_match", at_least=0.7),)
    path.write_text("gate:\n  rules:\n  - {measure: exact_match, at_leest: 0.7}\n")
    with pytest.raises(ConfigError, match="at_leest") as mistake:
        load_gate(path)
    assert mistake.value.cure == "did you mean at_least?"


KNOWN = {"cases": ("exact_match", "errors", "latency_p50_ms"), "edits": ("invariance", "errors")}


def test_rules_of_a_gate_file_without_a_suite_are_on_each_that_has_their_measure(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(
        "rules:\n- {measure: exact_match, at_least: 0.7}\n- {measure: errors, at_most: 0.1}\n"
        "- {measure: latency_p50_ms, at_most: 900}\n"
    )
    found = [(rule.suite, rule.measure) for rule in load_gate(path, KNOWN).rules]
    assert found == [("cases", "exact_match"), ("cases", "errors"), ("edits", "errors"), ("cases", "latency_p50_ms")]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{measure: exact_match, suite: test, at_least: 0.7}", "suite 'test', but the suites are cases, edits"),
        ("{measure: exactmatch, at_least: 0.7}", "'exactmatch', which cases does not measure, but exact_match, errors"),
        ("{measure: invariance, suite: cases, at_least: 0.7}", "'invariance', which cases does not measure"),
        ("{measure: exact_match, at_least: 0}", "passed by anything"),
        ("{measure: exact_match, at_least: -.inf}", "compares with -inf"),
        ("{measure: exact_match, at_least: .nan}", "compares with nan"),
        ("{measure: errors, at_most: .inf}", "compares with inf"),
        ("{measure: exact_match, not_worse_than_live: .inf}", "compares with inf"),
        ("{measure: errors, at_most: 1}", "passed by anything"),
        ("{measure: exact_match, not_worse_than_live: 0.1}", "a URL has none"),
    ],
)
def test_a_rule_that_nothing_decides_or_that_anything_passes_is_refused_when_read(
    tmp_path: Path, rule: str, message: str
) -> None:
    path = tmp_path / "gate.yaml"
    path.write_text(f"rules:\n- {rule}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load_gate(path, KNOWN)
    assert caught.value.cure
    for text, word in (
        ("rules: [", "not YAML"),
        ("alpha: 0.1", "no rules"),
        ("rules: [{measure: x}]", "0 comparisons"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=word):
            load_gate(path)
    with pytest.raises(NotFoundError):
        load_gate(tmp_path / "none.yaml")
