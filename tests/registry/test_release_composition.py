"""A release holds all that decides an answer: whatever changes one changes its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flyball.engines.llama_cpp import LlamaCppConfig
from flyball.errors import ConfigError
from flyball.records import FileRef, ModelVersion, Release, canonical_bytes, fingerprint, parse
from flyball.registry.config import ExampleConfig, ReleaseConfig, SamplingConfig
from flyball.registry.release_composition import compose

MODEL = ModelVersion(
    project="shop",
    training_run=None,
    dataset=None,
    architecture="LlamaForCausalLM",
    parameters=10,
    context_length=128,
    formats=("gguf:q8_0", "safetensors"),
    files=(FileRef(path="model.gguf", size_bytes=1, sha256="0" * 64),),
    chat_template="{{ messages }}",
)
DEFAULT = ReleaseConfig()


def composed(config: ReleaseConfig = DEFAULT, task: str = "classification", **changes: object) -> Release:
    given = {"model": MODEL, "labels": ("b", "a"), "redaction": "default", **changes}
    return compose(config, project="shop", task=task, **given)


def test_a_classification_is_constrained_to_its_labels_and_reads_the_models_whole_context():
    release = composed()
    assert (release.constraint.kind, release.constraint.labels) == ("labels", ("a", "b"))
    assert release.engine.context == 128
    assert release.chat_template == MODEL.chat_template
    assert release.model == release.artifact == fingerprint(MODEL)


def test_a_chat_is_free():
    assert composed(task="chat").constraint.kind == "none"


def test_the_record_survives_its_canonical_bytes():
    release = composed(ReleaseConfig(examples=(ExampleConfig(user="u", assistant="a"),), system_prompt="s"))
    assert parse(canonical_bytes(release), Release) == release
    assert [example.role for example in release.examples] == ["user", "assistant"]


@pytest.mark.parametrize(
    "other",
    [
        composed(ReleaseConfig(system_prompt="Be kind.")),
        composed(ReleaseConfig(examples=(ExampleConfig(user="u", assistant="a"),))),
        composed(ReleaseConfig(sampling=SamplingConfig(temperature=0.5))),
        composed(ReleaseConfig(constraint="none")),
        composed(ReleaseConfig(guardrails=("max_prompt_tokens",))),
        composed(ReleaseConfig(engine=LlamaCppConfig(slots=2))),
        composed(labels=("a", "b", "c")),
        composed(redaction="none"),
        composed(model=replace(MODEL, parameters=11)),
    ],
)
def test_each_part_changes_the_fingerprint(other):
    assert fingerprint(other) != fingerprint(composed())


def test_what_an_engine_shall_not_be_told_is_left_out_of_the_sampling():
    assert composed(task="chat").sampling == {"temperature": 0.0, "top_p": 1.0, "max_tokens": 128}
    silent = SamplingConfig(temperature=None, top_p=None, max_tokens=None)
    assert composed(ReleaseConfig(sampling=silent), task="chat").sampling == {}


def test_the_order_of_labels_does_not():
    assert fingerprint(composed(labels=("a", "b"))) == fingerprint(composed(labels=("b", "a")))


@pytest.mark.parametrize(
    ("config", "labels", "message"),
    [
        (ReleaseConfig(engine=LlamaCppConfig(context=256)), ("a",), "context is 256, the model reads 128"),
        (ReleaseConfig(constraint="labels"), (), "no labels are known"),
        (ReleaseConfig(guardrails=("max_promt_tokens",)), ("a",), "unknown guardrail 'max_promt_tokens'"),
        (ReleaseConfig(guardrails=("max_prompt_tokens:many",)), ("a",), "needs a whole number"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(config, labels, message):
    with pytest.raises(ConfigError, match=message):
        composed(config, labels=labels)
