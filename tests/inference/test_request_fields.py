"""What a request may set of a release: what counts, what is left out and told, what is refused."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from test_prompt_path import CHAT, ELSEWHERE, INTENTS, said

from flyball.errors import ConfigError, UnsupportedField
from flyball.inference import request_fields
from flyball.inference.prompt_path import EngineRequest, PromptPath
from flyball.inference.request_fields import FORM, NO_EFFECT, REQUEST, SAMPLING, fields_of_release, header_value

ORDINARY = fields_of_release(None, labels=False, tools=True, elsewhere=False)
FREE = replace(CHAT, request_fields=ORDINARY)
LABELS = replace(INTENTS, request_fields=())
ENGINE_FIELDS = {
    "ignore_eos": True,
    "dynatemp_range": 2.0,
    "add_generation_prompt": False,
    "continue_final_message": True,
    "chat_template": "{{ 'x' }}",
    "chat_template_kwargs": {"enable_thinking": False},
    "grammar": 'root ::= "c"',
    "json_schema": {},
    "min_p": 0.5,
    "top_k": 1,
    "min_tokens": 500,
    "n_predict": -1,
    "id_slot": 0,
    "cache_prompt": False,
    "lora": [{"id": 0, "scale": 0.0}],
    "samplers": [],
    "guided_choice": ["c"],
    "structured_outputs": {"choice": ["c"]},
    "skip_special_tokens": False,
    "priority": -1,
    "num_ctx": 8,
}
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


def asked(release: Any, /, **fields: Any) -> EngineRequest:
    return PromptPath(release).engine_request({"messages": said("hi"), **fields})


def test_every_field_of_the_api_is_in_one_list() -> None:
    lists = [REQUEST, NO_EFFECT, SAMPLING, FORM]
    assert set(CompletionCreateParamsBase.__annotations__) <= set().union(*lists)
    assert sum(map(len, lists)) == len(set().union(*lists))


@pytest.mark.parametrize("release", [FREE, LABELS], ids=["free", "labels"])
@pytest.mark.parametrize("name", ENGINE_FIELDS)
def test_a_field_that_only_engines_know_is_left_out_and_told(release: Any, name: str) -> None:
    found = asked(release, **{name: ENGINE_FIELDS[name]})
    assert found.body == asked(release).body
    assert found.ignored == (name,)


@pytest.mark.parametrize("release", [FREE, LABELS], ids=["free", "labels"])
@pytest.mark.parametrize("name", sorted(NO_EFFECT))
def test_a_field_without_effect_on_the_answer_is_accepted_and_goes_no_further(release: Any, name: str) -> None:
    assert asked(release, **{name: "x"}) == asked(release)


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text())))
def test_no_unknown_field_reaches_an_engine_whatever_it_is_called(fields: dict[str, Any]) -> None:
    unknown = {name: value for name, value in fields.items() if name not in REQUEST | NO_EFFECT | SAMPLING | FORM}
    for release in (FREE, LABELS):
        found = asked(release, **unknown)
        assert found.body == asked(release).body
        assert set(found.ignored) == {name for name, value in unknown.items() if value is not None}


def test_ordinary_clients_set_what_they_do_of_a_free_answer() -> None:
    fields = {
        "temperature": 1.0,
        "top_p": 0.5,
        "max_completion_tokens": 9,
        "stop": ["\n"],
        "seed": 3,
        "frequency_penalty": 0.5,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 2,
        "response_format": {"type": "json_object"},
        "tools": TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "stream": True,
    }
    found = asked(FREE, **fields, model="shop")
    assert found.body == {"messages": said("hi"), "model": "shop", **fields}
    assert found.ignored == ()


@pytest.mark.parametrize("name", ["reasoning_effort", "functions", "audio", "web_search_options", "moderation"])
def test_what_the_release_does_not_allow_is_refused_and_says_how_to_allow_it(name: str) -> None:
    with pytest.raises(UnsupportedField, match=f"set {name}") as caught:
        asked(FREE, **{name: [{"x": 1}]})
    assert caught.value.param == name
    assert "release.request_fields" in caught.value.cure
    assert asked(replace(FREE, request_fields=(*ORDINARY, name)), **{name: [{"x": 1}]}).body[name] == [{"x": 1}]


def test_a_release_without_fields_lets_nothing_change_its_answers_but_what_asks_for_what_comes_anyway() -> None:
    closed = replace(CHAT, request_fields=())
    assert asked(closed, temperature=0.3, max_tokens=128, n=1, stop=None, frequency_penalty=0) == asked(closed)
    for name in ("temperature", "max_tokens", "seed", "stop"):
        with pytest.raises(UnsupportedField):
            asked(closed, **{name: 5})


def test_null_is_the_same_as_leaving_a_field_out() -> None:
    assert asked(FREE, temperature=None, tools=None, audio=None, ignore_eos=None) == asked(FREE)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": TOOLS},
        {"tools": TOOLS, "tool_choice": "auto"},
        {"tools": TOOLS, "tool_choice": "required"},
        {"functions": [{"name": "f"}]},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x"}},
    ],
    ids=str,
)
def test_a_label_is_never_given_where_another_form_of_answer_was_asked_for(fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedField, match="one of its labels") as caught:
        asked(LABELS, **fields)
    assert caught.value.param in fields


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": TOOLS, "tool_choice": "none", "parallel_tool_calls": False},
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
        {"tool_choice": "none", "parallel_tool_calls": False},
        {"functions": [{"name": "f"}], "function_call": "none"},
        {"response_format": {"type": "text"}},
        {"n": 1, "logprobs": False, "top_logprobs": 0, "modalities": ["text"]},
        {"temperature": 0, "stop": [], "logit_bias": {}},
    ],
    ids=str,
)
def test_what_asks_for_what_comes_anyway_is_accepted(fields: dict[str, Any]) -> None:
    assert asked(LABELS, **fields) == asked(LABELS)


def test_the_sampling_of_a_label_is_the_releases_and_the_client_is_told() -> None:
    fields = {"temperature": 1.2, "top_p": 0.5, "max_tokens": 5, "seed": 3, "stop": ["a"], "logit_bias": {"1": 100}}
    found = asked(LABELS, **fields)
    assert found.body == asked(LABELS).body
    assert found.ignored == tuple(fields)


def test_what_clients_and_engines_note_in_a_message_is_left_out_and_told_once() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    spoken = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "content": "found", "tool_call_id": "1"}
    odd = {"agent": "cli", "prefix": True, "audio": None, "annotations": []}
    messages = [*said("one"), {**spoken, **odd}, {**result, "agent": "cli"}]
    found = PromptPath(FREE).engine_request({"messages": messages})
    assert found.body["messages"] == [*said("one"), spoken, result]
    assert found.ignored == ("messages.agent", "messages.prefix")


def test_thousands_of_fields_in_a_message_cost_nobody_seconds() -> None:
    message = {**said("one")[0], **{f"note{number}": 1 for number in range(100_000)}}
    began = time.process_time()
    assert len(PromptPath(FREE).engine_request({"messages": [message]}).ignored) == 100_000
    assert time.process_time() - began < 2.0  # each name compared with all before it: minutes


def test_a_server_that_takes_no_sampling_is_told_none() -> None:
    silent = replace(LABELS, engine=ELSEWHERE, sampling={})
    assert set(asked(silent).body) == {"messages", "model"}
    assert asked(replace(silent, sampling={"temperature": 0.0})).body["temperature"] == 0
    assert asked(replace(silent, request_fields=None)).body["temperature"] == 0  # as ever


@pytest.mark.parametrize("stream", [False, None, "true", 1])
def test_an_answer_is_streamed_for_true_alone(stream: object) -> None:
    for release in (FREE, LABELS):
        assert asked(release, stream=stream) == asked(release)
        assert asked(release, stream=True, stream_options={"x": 1}).body == {**asked(release).body, "stream": True}


def test_a_release_from_before_the_field_lets_all_pass_as_ever() -> None:
    found = asked(CHAT, ignore_eos=True, store=True, x_new={"y": 1})
    assert (found.body["ignore_eos"], found.body["store"], found.body["x_new"]) == (True, True, {"y": 1})
    assert found.ignored == ()


def test_a_new_release_allows_what_its_engine_knows() -> None:
    assert fields_of_release(None, labels=True, tools=True, elsewhere=True) == ()
    assert "tools" not in fields_of_release(None, labels=False, tools=False, elsewhere=False)
    assert "reasoning_effort" in fields_of_release(None, labels=False, tools=True, elsewhere=True)
    assert fields_of_release((), labels=False, tools=True, elsewhere=False) == ()
    listed = fields_of_release(("top_k", "tools", "top_k"), labels=False, tools=False, elsewhere=False)
    assert listed == ("parallel_tool_calls", "tool_choice", "tools", "top_k")
    assert asked(replace(CHAT, request_fields=listed), top_k=3).body["top_k"] == 3
    assert asked(replace(FREE, engine=ELSEWHERE), ignore_eos=True).ignored == ("ignore_eos",)


@pytest.mark.parametrize(
    ("wanted", "labels", "said"),
    [
        (("temprature",), False, "did you mean temperature"),
        (("ignore_eos",), False, "which no release lets through"),
        (("store",), False, "which every request may set"),
        (("tools",), True, "one of the labels"),
    ],
)
def test_names_that_cannot_be_let_through_are_refused(wanted: tuple[str, ...], labels: bool, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fields_of_release(wanted, labels=labels, tools=True, elsewhere=False)
    assert said in str(caught.value)


@given(st.lists(st.text(max_size=80), min_size=1, max_size=60))
def test_no_name_breaks_out_of_its_header(names: list[str]) -> None:
    value = header_value(names)
    assert value.isascii() and value.isprintable() and len(value) < 1000
    assert ("more" in value.split(", ")[-1]) >= (len(names) > request_fields._NAMES_SHOWN)
