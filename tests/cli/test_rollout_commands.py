"""Deploy, its history, promote, resume and rollback, as a person types them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_shop import decision_for
from flyball.cli.main import run
from flyball.records import Release, Transition, name_of
from flyball.rollout.transitions import store
from flyball.storage import leases
from flyball.storage.deployments import history, keep_figures, pointer
from flyball.wiring import Project, open_project
from tiny_gguf import tiny_release, write_tiny_gguf

SETTINGS = """\
version: 1
project: shop
data: {sources: [{path: tickets.jsonl}]}
rollout: {strategy: shadow, canary_steps: [0.1, 0.4], shadow_share: 0.3}
"""


class Typed:
    """A project with releases, and commands typed in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (root / "flyball.yaml").write_text(SETTINGS)
        self.root, self.capsys = root, capsys
        self.project: Project = open_project(root)
        self.ledger = self.project.ledger

    def release(self, prompt: str) -> str:
        release: Release = tiny_release(system_prompt=prompt)
        self.ledger.append(release)
        at = pointer(self.ledger, "shop")
        self.ledger.append(decision_for(name_of(release), baseline=at.live_release if at else None))
        return name_of(release)

    def type(self, *words: str, code: int = 0) -> str:
        """Type a command that ends with `code`; what it said."""
        assert run([*words, "-C", str(self.root)]) == code
        said = self.capsys.readouterr()
        return said.out if code == 0 else said.err

    def json(self, *words: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.type(*words, "--json"))
        return found

    def step(self, deployment: str, state: str, step: int = 0, **evidence: object) -> None:
        """What control would store."""
        lease = leases.acquire(self.ledger, "control:shop", holder="here", ttl_s=60)
        assert lease is not None
        record = self.ledger.get(deployment).record
        transition = Transition(deployment=deployment, state=state, step=step, evidence=evidence)  # type: ignore[arg-type]
        last = history(self.ledger, deployment)[-1][0]
        assert store(self.ledger, lease, record, transition, after=last)  # type: ignore[arg-type]

    def live(self, prompt: str) -> str:
        deployment = str(self.json("deploy", self.release(prompt), "--strategy", "blue-green")["id"])
        self.step(deployment, "starting")
        self.step(deployment, "live", reason="its engine answered a real request")
        return deployment


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Typed]:
    made = Typed(tmp_path, capsys)
    yield made
    made.project.close()


def plan(document: dict[str, object]) -> list[tuple[str, float]]:
    steps = document["content"]["plan"]["steps"]  # type: ignore[index, call-overload]
    return [(step["variant"], step["share"]) for step in steps]


def test_without_a_strategy_a_release_goes_as_the_project_says(typed: Typed) -> None:
    typed.live("one")
    made = typed.json("deploy", typed.release("two"))
    assert plan(made) == [("shadow", 0.3), ("canary", 0.1), ("canary", 0.4)]


def test_a_strategy_and_its_steps_are_typed_in_one_line(typed: Typed) -> None:
    typed.live("one")
    two = typed.release("two")
    made = typed.json("deploy", two, "--strategy", "canary", "--steps", "0.05,0.25,0.5", "--reason", "new intents")
    assert plan(made) == [("canary", 0.05), ("canary", 0.25), ("canary", 0.5)]
    typed.type("rollback")
    made = typed.json("deploy", two, "--strategy", "shadow", "--mirror", "0.5", "--then", "ab", "--steps", "0.4")
    assert plan(made) == [("shadow", 0.5), ("b", 0.4)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--strategy", "canary", "--steps", "0.5,0.1"), "let shares grow"),
        (("--strategy", "canary", "--steps", "half"), "no list of shares"),
        (("--strategy", "blue-green", "--steps", "0.5"), "--strategy canary"),
        (("--strategy", "shadow", "--steps", "0.5"), "--then canary"),
        (("--strategy", "canary", "--then", "ab"), "--strategy shadow only"),
        (("--strategy", "canary", "--mirror", "0.1"), "--strategy shadow only"),
    ],
)
def test_steps_that_make_no_sense_are_refused_and_nothing_is_stored(
    typed: Typed, words: tuple[str, ...], said: str
) -> None:
    typed.live("one")
    assert said in typed.type("deploy", typed.release("two"), *words, code=2)
    assert typed.type("deploy", "history").count("deployment ") == 1


def test_the_history_says_who_did_what_when_why_and_on_which_figures(typed: Typed) -> None:
    one = typed.live("one")
    two = str(typed.json("deploy", typed.release("two"), "--reason", "new intents")["id"])
    typed.step(two, "starting")
    typed.step(two, "ramping", reason="its engine answered", variant="shadow", share=0.3)
    copies = {"mirrored_requests": 40, "mirrored_failures": 1, "live_failures": 0, "mirrored_usd": 0.5}
    typed.step(two, "ramping", 1, reason="its copies show no harm", p_harm_latency=0.4, **copies)
    keep_figures(
        typed.ledger,
        two,
        {"candidate_requests": 7, "candidate_failures": 0, "live_requests": 63, "live_failures": 2},
    )
    said = typed.type("deploy", "history")
    assert said.index(two) < said.index(one)
    assert "ramping  " in said and "(mirrored 30 %, canary 10 %, canary 40 %)" in said
    assert "by local: new intents" in said and "on gate decision" in said
    assert "its copies show no harm" in said and "40 copies, 1 failed (live 0), 0.5 USD" in said
    assert "so far" in said and "it: 7 requests, 0 failed; live: 63 requests, 2 failed" in said
    whole = typed.type("deploy", "history", two)
    assert one not in whole and "latency worse: p=0.4 (one that is no worse" in whole
    rows = [json.loads(line) for line in typed.type("deploy", "history", "--json").splitlines()]
    assert [row["id"] for row in rows] == [two, one] and [row["serving"] for row in rows] == [False, True]
    assert [step["state"] for step in rows[0]["transitions"]] == ["requested", "starting", "ramping", "ramping"]
    assert not typed.type("deploy", "history", "--route", "other").count(two)


def test_a_test_of_two_is_ended_by_a_persons_word_with_the_figures_of_that_time(typed: Typed) -> None:
    typed.live("one")
    two = str(typed.json("deploy", typed.release("two"), "--strategy", "ab")["id"])
    typed.step(two, "starting")
    assert "not ramping or paused" in typed.type("promote", "--reason", "people like it", code=2)
    typed.step(two, "ramping", variant="b", share=0.5)
    keep_figures(typed.ledger, two, {"candidate_requests": 70})
    assert typed.json("promote", "--reason", "people like it") == {
        "deployment": two,
        "state": "live",
        "reason": "people like it",
    }
    evidence = history(typed.ledger, two)[-1][0].evidence
    assert evidence == {"by": "local", "reason": "people like it", "candidate_requests": 70}
    said = typed.type("deploy", "history", two)
    assert "people like it (by local)" in said
    assert "no deployment is under way" in typed.type("resume", "--reason", "go on", code=4)


def test_a_release_that_does_not_fit_beside_the_live_one_is_refused_at_once(
    typed: Typed,
) -> None:
    typed.live("one")
    two = typed.release("two")
    folder = typed.root / "model"
    folder.mkdir()
    os.truncate(write_tiny_gguf(folder / "model.gguf"), 1 << 43)  # eight terabytes, most of them holes
    target = typed.project.places.artifacts / tiny_release().model
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    said = typed.type("deploy", two, "--strategy", "blue-green", code=5)
    assert "beside the live one" in said and "choose:" in said
    assert typed.type("deploy", "history").count("deployment ") == 1
