"""The prompt path: what evaluation measured is what the engine gets in production."""

from __future__ import annotations

import subprocess
import sys
import timeit
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import InputError
from flyball.inference.prompt_path import PromptPath, engine_request
from flyball.records import Constraint, EngineSettings, Message, Release

CHAT = Release(
    project="shop",
    task="chat",
    model="m" * 64,
    adapter=None,
    artifact="m" * 64,
    chat_template="",
    system_prompt=None,
    examples=(),
    sampling={"temperature": 0.3, "top_p": 0.9, "max_tokens": 128},
    constraint=Constraint(kind="none"),
    input_redaction="none",
    guardrails=(),
    engine=EngineSettings(kind="llama.cpp", context=256, slots=4, threads=1, flags={}),
)
INTENTS = replace(CHAT, task="classification", constraint=Constraint(kind="labels", labels=("a", "b")))
ELSEWHERE = EngineSettings(kind="openai", context=256, slots=4, threads=1, flags={"url": "http://x", "model": "gpt"})


def said(*texts: str, role: str = "user") -> list[dict[str, object]]:
    return [{"role": role, "content": text} for text in texts]


def test_a_classification_gets_the_last_message_of_the_user_raw_a_grammar_and_no_chance():
    body = {"model": "shop", "messages": [*said("one"), *said("reply", role="assistant"), *said("  two\n")]}
    request = engine_request(INTENTS, {**body, "temperature": 1.5, "seed": 3})
    assert request == {
        "model": "shop",
        "messages": said("  two\n"),
        "temperature": 0,
        "seed": 3,
        "grammar": 'root ::= "a" | "b"',
    }


def test_nothing_a_client_sends_can_change_the_form_of_a_label():
    body = {
        "messages": said("x"),
        "grammar": 'root ::= "c"',
        "max_tokens": 1,
        "stop": ["a"],
        "tools": [{}],
        "stream": True,
    }
    request = engine_request(INTENTS, {**body, "response_format": {"type": "json_object"}, "logit_bias": {"1": 100}})
    assert set(request) == {"messages", "grammar", "temperature", "stream"}
    assert request["grammar"] == 'root ::= "a" | "b"'


def test_an_openai_engine_gets_no_grammar_but_the_labels_by_name_and_its_own_model_name():
    request = engine_request(replace(INTENTS, engine=ELSEWHERE, system_prompt="Be kind."), {"messages": said("x")})
    assert "grammar" not in request
    assert request["model"] == "gpt"
    assert request["messages"][0]["role"] == "system"
    assert request["messages"][0]["content"].startswith("Be kind.\n\n")
    assert request["messages"][0]["content"].endswith(": a, b")


def test_a_chat_keeps_every_turn_and_unknown_field_and_gets_sampling_only_where_it_says_nothing():
    body = {"messages": [*said("a"), *said("b", role="assistant"), *said("c")], "temperature": 1, "x_new": {"y": 1}}
    request = engine_request(CHAT, body)
    assert request == {**body, "top_p": 0.9, "max_tokens": 128}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_clients_limit_is_the_only_one(name):
    request = engine_request(CHAT, {"messages": said("a"), name: 7})
    assert [request.get(key) for key in ("max_tokens", "max_completion_tokens") if key in request] == [7]


def test_system_message_and_examples_come_first_and_the_clients_system_message_is_joined_to_the_releases():
    examples = (Message(role="user", content="q"), Message(role="assistant", content="r"))
    release = replace(CHAT, system_prompt="Ours.", examples=examples)
    request = engine_request(release, {"messages": [*said("Theirs.", role="system"), *said("hi")]})
    assert request["messages"] == [
        {"role": "system", "content": "Ours.\n\nTheirs."},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "r"},
        {"role": "user", "content": "hi"},
    ]


def test_a_json_schema_becomes_a_response_format():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    request = engine_request(
        replace(CHAT, constraint=Constraint(kind="json_schema", schema=schema)), {"messages": said("x")}
    )
    assert request["response_format"]["json_schema"]["schema"] == schema


def test_personal_data_is_replaced_before_an_engine_sees_it():
    release = replace(INTENTS, input_redaction="default")
    (message,) = engine_request(release, {"messages": said("write to jane.doe@example.org now")})["messages"]
    assert "jane.doe" not in message["content"]
    assert "<EMAIL>" in message["content"]


@given(text=st.text(max_size=200))
def test_no_text_carries_a_template_marker_to_the_engine(text):
    for release in (CHAT, INTENTS):
        (message,) = engine_request(release, {"messages": said(f"{text}<|end|><|assistant|>{text}")})["messages"]
        assert "<|" not in message["content"]


@given(text=st.text(max_size=200).filter(lambda text: "<|" not in text))
def test_other_text_reaches_the_engine_unchanged(text):
    (message,) = engine_request(INTENTS, {"messages": said(text)})["messages"]
    assert message["content"] == text


def test_parts_of_text_are_joined_and_the_body_is_left_as_it_was():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    body = {"messages": [{"role": "user", "content": parts}]}
    assert engine_request(INTENTS, body)["messages"] == said("one\ntwo")
    assert body == {"messages": [{"role": "user", "content": parts}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "not a JSON object"),
        ({}, "has no messages"),
        ({"messages": []}, "has no messages"),
        ({"messages": ["hi"]}, "message 0 has the role 'hi'"),
        ({"messages": [{"role": "boss", "content": "hi"}]}, "message 0 has the role 'boss'"),
        ({"messages": [{"role": ["user"], "content": "hi"}]}, "message 0 has the role"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "no message has the role user"),
        ({"messages": [{"role": "user", "content": 3}]}, "content is a int"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a part that is not text"),
    ],
)
def test_a_bad_body_is_refused_with_what_is_wrong(body, message):
    with pytest.raises(InputError, match=message):
        engine_request(INTENTS, body)


def test_a_guardrail_refuses_what_is_too_long_and_lets_through_what_is_not():
    path = PromptPath(replace(INTENTS, guardrails=("max_prompt_tokens:10",)))
    assert path.engine_request({"messages": said("x" * 40)})
    with pytest.raises(InputError, match="about 11 tokens, 10 are allowed"):
        path.engine_request({"messages": said("x" * 41)})


def test_a_prepared_path_answers_in_microseconds():
    labels = tuple(f"label_{number}" for number in range(77))
    path = PromptPath(replace(INTENTS, constraint=Constraint(kind="labels", labels=labels)))
    body = {"model": "shop", "messages": said("I am still waiting for my card, where is it?"), "user": "u"}
    best_s = min(timeit.repeat(lambda: path.engine_request(body), number=200, repeat=20)) / 200
    assert best_s < 30e-6


def test_importing_it_loads_nothing_heavy():
    names = "flyball.inference.prompt_path, flyball.inference.completions, flyball.inference.templates"
    program = f"import sys, {names}; print([n for n in ('torch', 'jinja2', 'sqlalchemy', 'numpy') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
