"""Numbers, conversations, decisions and pictures as people see them."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import console_shop
from flyball.console import loop_diagram, text_formats
from flyball.console.conversation import Turn, answer_line, prompt_line, turns
from flyball.console.evidence import bound_sentence, comparison, deciding, loss
from flyball.console.record_tables import sheets
from flyball.console.rollouts import ladder, planned_steps
from flyball.console.stages import Stage
from flyball.records import Check, Deployment, Measure
from flyball.records.identity import uuid7


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "$0.00"), (12.345, "$12.35"), (0.1, "$0.10"), (0.0213, "$0.021"), (0.0000017, "$0.0000017"), (None, "–")],
)
def test_dollars_keep_the_digits_that_matter(value: float | None, text: str) -> None:
    assert text_formats.usd(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.42, "0.4 ms"),
        (19.6, "20 ms"),
        (999.4, "999 ms"),
        (1240.0, "1.24 s"),
        (61_000.0, "61 s"),
        (7_000_000.0, "117 min"),
    ],
)
def test_durations_come_in_the_unit_that_leaves_few_digits(value: float, text: str) -> None:
    assert text_formats.milliseconds(value) == text


def test_milliseconds_since_1970_are_local_time_wherever_they_stand_and_durations_have_a_unit() -> None:
    assert text_formats.named("noted_ms", 1_790_000_000_000) == ("noted", text_formats.moment(1_790_000_000_000))
    assert text_formats.named("total_ms", 1240.5) == ("total", "1.24 s")
    assert text_formats.named("peak_mb", 568) == ("peak", "568.0 MB")
    assert text_formats.named("seconds", 16.34) == ("took", "16 s")
    assert text_formats.plain({"seen_ms": 1_790_000_000_000}) == f"seen {text_formats.moment(1_790_000_000_000)}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (582_784.0, "582,784"),
        (11_910.4, "11,910"),
        (0.02676, "0.02676"),
        (9.31e-05, "0.0000931"),
        (0.0, "0"),
        (3e-12, "3e-12"),
    ],
)
def test_a_number_is_written_out_rather_than_as_a_power_of_ten(value: float, text: str) -> None:
    assert text_formats.plain(value) == text


def test_an_e_value_says_how_rarely_chance_alone_comes_so_far() -> None:
    assert text_formats.named("e_value", 131.2)[1].endswith("in at most 1 of 131 cases)")
    assert text_formats.named("e_value", 0.4) == ("e-value", "0.4 (no evidence of a change)")


@pytest.mark.parametrize(
    ("passed_ms", "text"),
    [
        (-5, "now"),
        (900, "now"),
        (12_000, "12 s ago"),
        (3 * 60_000, "3 min ago"),
        (7_300_000, "2 h ago"),
        (9e8, "10 d ago"),
    ],
)
def test_ages_are_short(passed_ms: float, text: str) -> None:
    assert text_formats.ago(0, int(passed_ms)) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_any_json_value_has_a_line(value: object) -> None:
    assert isinstance(text_formats.plain(value), str)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}], "answer": "A"},
            [("system", "S"), ("user", "Q"), ("answer", "A")],
        ),
        (
            {"request": {"messages": [{"role": "user", "content": "Q"}]}, "answer": "A"},
            [("user", "Q"), ("answer", "A")],
        ),
        ({"request": {"prompt": "P"}, "answer": ""}, [("prompt", "P"), ("answer", "")]),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}
                ]
            },
            [("user", "one\ntwo")],
        ),
        (
            {"messages": [], "answer": "", "choices": [{"content": "A", "tool_calls": []}, {"content": "B"}]},
            [("answer", "A"), ("answer", "B")],
        ),
        ({"answer": {"choices": [{"message": {"content": "A"}}]}}, [("answer", "A")]),
        ({"choices": [{"content": "A", "tool_calls": [], "reasoning": "R"}]}, [("reasoning", "R"), ("answer", "A")]),
        ({"choices": [{"content": "", "refusal": "No."}]}, [("answer", "No.")]),
        ({"choices": [{"content": "", "audio": {"transcript": "T", "base64_size": 9}}]}, [("answer", "T")]),
        ({"choices": [{"content": "", "function_call": {"name": "f"}}]}, [("answer", '{"name":"f"}')]),
        ({"choices": [{"content": "A", "parts": [{"type": "x"}]}]}, [("answer", 'A\n[{"type":"x"}]')]),
    ],
)
def test_a_payload_reads_as_a_conversation(document: object, expected: list[tuple[str, str]]) -> None:
    found = turns(msgspec.json.encode(document).decode())
    assert [(turn.role, turn.text) for turn in found] == expected


def test_a_tool_call_is_shown_where_no_text_was_said() -> None:
    document = {"choices": [{"content": "", "tool_calls": [{"name": "find_order"}]}]}
    assert "find_order" in turns(msgspec.json.encode(document).decode())[0].text


@given(
    st.text()
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["messages", "request", "answer", "choices", "content", "role"]), inner, max_size=4
            )
        ),
    ).map(lambda value: msgspec.json.encode(value).decode())
)
def test_a_payload_of_any_shape_is_shown_and_none_is_hidden(text: str) -> None:
    found = turns(text)
    assert found and all(isinstance(turn.text, str) for turn in found)


def test_the_lines_of_a_list_are_the_last_question_and_the_last_answer() -> None:
    said = (Turn(role="user", text="old"), Turn(role="answer", text="x"), Turn(role="user", text="a\n b"))
    assert (prompt_line(said), answer_line(said)) == ("a b", "x")


def check(rule: str, threshold: float, bound: float | None, verdict: str = "pass") -> Check:
    """A check with a bound."""
    return Check(
        measure="exact_match",
        suite="test",
        rule=rule,
        threshold=threshold,
        value=0.8,
        bound=bound,
        n=100,  # type: ignore[arg-type]
        verdict=verdict,
        reason="nothing was measured",  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (check("at_least", 0.6, 0.75), "0.75 ≥ 0.6"),
        (check("at_least", 0.6, 0.55), "0.55 < 0.6"),
        (check("at_most", 0.1, 0.05), "0.05 ≤ 0.1"),
        (check("at_most", 0.1, 0.2), "0.2 > 0.1"),
        (check("not_worse_than_live", 0.03, -0.01), "−0.01 ≥ −0.03"),
        (check("not_worse_than_live", 0.03, -0.05), "−0.05 < −0.03"),
        (check("better_than_live", 0.02, 0.01), "0.01 < 0.02"),
    ],
)
def test_a_bound_stands_beside_what_it_had_to_reach(one: Check, text: str) -> None:
    assert comparison(one) == text
    assert text in bound_sentence(one)


def test_the_check_that_decided_is_the_tightest_one_with_the_verdict_of_the_whole() -> None:
    decision = console_shop.generation(1, value=0.883, baseline=console_shop.generation(0, value=0.861)).decision
    found = deciding(decision)
    assert found is not None and found.rule == "not_worse_than_live"
    refused = console_shop.generation(
        3, value=0.742, verdict="fail", baseline=console_shop.generation(0, value=0.861)
    ).decision
    failing = deciding(refused)
    assert failing is not None and failing.verdict == "fail"
    assert "nothing was measured" in bound_sentence(check("at_least", 0.6, None, "inconclusive"))


def test_labels_are_listed_worst_first_below_the_measures_of_whole_suites() -> None:
    def measure(name: str, value: float, part: str | None) -> Measure:
        return Measure(suite="test", name=name, value=value, lower=0, upper=1, level=0.95, n=9, slice=part)

    report = console_shop.generation(0, value=0.8).report
    parts = [measure("recall", 0.9, "a"), measure("recall", 0.2, "b"), measure("exact_match", 0.8, None)]
    whole, worst = sheets(dataclasses.replace(report, measures=tuple(parts)))
    assert [row[0] for row in whole.rows] == ["test"]
    assert [row[0] for row in worst.rows] == ["test · b", "test · a"]


def test_the_loss_shown_is_the_held_out_one() -> None:
    found = loss(console_shop.generation(0, value=0.8).run)
    assert found is not None and found[0] == "validation_loss"


@pytest.mark.parametrize(
    ("state", "step", "reached", "marks"),
    [
        ("requested", 0, ["requested"], "c...."),
        ("starting", 0, ["requested", "starting"], "dc..."),
        ("ramping", 0, ["requested", "starting", "ramping"], "ddc.."),
        ("ramping", 1, ["requested", "starting", "ramping"], "dddc."),
        ("paused", 1, ["requested", "starting", "ramping", "paused"], "dddc."),
        ("rolled_back", 1, ["requested", "starting", "ramping", "rolled_back"], "dddf."),
        ("failed", 0, ["requested", "starting", "failed"], "df..."),
        ("failed", 0, ["failed"], "f...."),
        ("live", 1, ["requested", "starting", "ramping", "live"], "ddddd"),
        ("rolled_back", 1, ["requested", "starting", "ramping", "live", "rolled_back"], "ddddf"),
        ("retired", 1, ["live", "retired"], "ddddd"),
    ],
)
def test_a_ladder_shows_what_is_done_under_way_and_ahead(state: str, step: int, reached: list[str], marks: str) -> None:
    rungs = ladder(state, step, ("10 %", "50 %"), reached)  # type: ignore[arg-type]
    short = {"done": "d", "current": "c", "ahead": ".", "failed": "f"}
    assert "".join(short[rung.progress] for rung in rungs) == marks


@pytest.mark.parametrize(
    ("strategy", "plan", "steps"),
    [
        ("canary", {"steps": [0.1, 0.5]}, ("10 %", "50 %")),
        ("blue-green", {"steps": [0.1, 0.5]}, ()),
        ("shadow", {}, ("mirrored 100 %",)),
        ("canary", {"steps": [{"variant": "shadow", "share": 1.0}, 0.2]}, ("mirrored 100 %", "20 %")),
        ("canary", {"steps": ["nonsense"]}, ()),
    ],
)
def test_the_steps_of_a_plan_are_those_that_the_rollout_takes(
    strategy: str, plan: dict[str, object], steps: object
) -> None:
    deployment = Deployment(
        id=uuid7(),
        project="shop",
        route="shop",
        release="r",
        decision="d",
        strategy=strategy,
        plan=plan,  # type: ignore[arg-type]
        replaces="x",
        requested_by="local",
        reason="",
    )
    assert planned_steps(deployment) == steps


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=90)), min_size=12, max_size=12))
def test_boxes_of_the_picture_neither_overlap_nor_leave_it_whatever_they_say(texts: list[tuple[str, str]]) -> None:
    stages = [
        Stage(key=str(i), verb="Verb", state="ok", figure=figure, detail=detail, onward="shut" if i == 5 else "open")
        for i, (figure, detail) in enumerate(texts)
    ]
    for drawn in (loop_diagram.wide(stages), loop_diagram.tall(stages)):
        w, h = drawn.box_width, drawn.box_height
        for i, box in enumerate(drawn.boxes):
            assert box.x >= 0 and box.x + w <= drawn.width and box.y >= 0 and box.y + h <= drawn.height
            assert len(box.figure) <= w / 10 and len(box.detail) <= w / 5
            for other in drawn.boxes[:i]:
                assert abs(box.x - other.x) >= w or abs(box.y - other.y) >= h
        assert len(drawn.arrows) == 12 and drawn.arrows[5].kind == "shut"
