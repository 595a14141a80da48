"""A case of several questions asks each after the model's own answer; its score is that of the last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyball.errors import UpstreamError
from flyball.evaluation.case_answers import Partial, ask_all
from flyball.evaluation.follow_ups import FollowingUp
from flyball.evaluation.scorer import score_suite
from flyball.evaluation.suites.held_out import item_of, noted
from flyball.evaluation.suites.suite import FOLLOW_UPS, Item, Suite, bodies_of
from flyball.records import Message
from flyball.telemetry import quiet


@dataclass
class Said:
    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = "stop"


class Parrot:
    """Answers the last question with its words and how many messages it saw; keeps what it was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def complete(self, body: dict[str, Any], /) -> Said:
        self.seen.append(body)
        last = body["messages"][-1]["content"]
        if last == "fail":
            raise UpstreamError("no", cure="", status=400)
        return Said("" if last == "silence" else f"{last} {len(body['messages'])}")


def questions(*texts: str, system: str = "") -> Item:
    head = (Message(role="system", content=system),) if system else ()
    return item_of(texts[0], (*head, *(Message(role="user", content=text) for text in texts)), expected=None)


def ask(tmp_path: Path, *items: Item) -> tuple[Parrot, dict[str, float], Suite]:
    suite, parrot = Suite(name="test", kind="answer", items=items), Parrot()
    partial = Partial(tmp_path / "partial.jsonl", "plan")
    answers = ask_all(bodies_of([suite]), FollowingUp(parrot), concurrency=1, partial=partial, progress=quiet)
    scores = {s.item: s.score for s in score_suite(suite, answers, classification=False) if s.measure == "answered"}
    assert set(answers) == {item.key for item in items}
    return parrot, scores, suite


def test_each_question_follows_on_the_models_own_answer(tmp_path: Path) -> None:
    parrot, scores, _ = ask(tmp_path, questions("one", "two", "three", system="be brief"))
    assert [len(body["messages"]) for body in parrot.seen] == [2, 4, 6]
    assert [message["content"] for message in parrot.seen[-1]["messages"]] == [
        *("be brief", "one", "one 2", "two", "two 4", "three"),
    ]
    assert scores == {"one": 1.0}
    assert not any(FOLLOW_UPS in body for body in parrot.seen), "no server sees our own field"


def test_an_empty_or_failed_answer_on_the_way_is_the_cases(tmp_path: Path) -> None:
    parrot, scores, _ = ask(tmp_path, questions("silence", "two"), questions("a", "fail", "c"), questions("alone"))
    assert scores == {"silence": 0.0, "a": 0.0, "alone": 1.0}
    assert len(parrot.seen) == 4


def test_suites_without_follow_ups_keep_their_names_and_those_with_them_say_so() -> None:
    plain = Item(id="a", messages=(Message(role="user", content="x"),))
    more = Item(id="a", messages=plain.messages, follow_ups=("y",))
    names = [Suite(name="test", kind="answer", items=(item,)).reference().fingerprint for item in (plain, more)]
    assert names[0] == "db234d4eb0db4c9d2d74a4286664572b4abf114854d28b8f01121125dd2f013c" and names[1] != names[0]
    assert noted((plain,)) == ()
    assert noted((plain, more)) == ("test: 1 cases ask on after the model's own answer; the last answer counts",)


def test_a_conversation_with_answers_in_it_is_asked_at_once() -> None:
    talk = tuple(Message(role=role, content=role) for role in ("user", "assistant", "user"))
    assert item_of("a", talk, expected=None) == Item(id="a", messages=talk)
    pair = (talk[0], talk[2])
    assert item_of("a", pair, expected="x") == Item(id="a", messages=pair, expected="x")
