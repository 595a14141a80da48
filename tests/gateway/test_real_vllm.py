"""A real vLLM behind the gateway, where FLYBALL_VLLM says how it starts: one tiny model of ours, and an adapter on it.

    FLYBALL_VLLM=/opt/vllm/bin/vllm python -m pytest tests/gateway/test_real_vllm.py

A build for CPUs also needs VLLM_CPU_KVCACHE_SPACE=1, or it takes nine tenths of the machine's memory.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from flyball.errors import UpstreamError
from flyball.gateway.recording.segment_format import RequestEntry
from flyball.records import Constraint, Release
from flyball.serving import engine_processes
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import EngineHandle
from flyball.serving.liveness import look_at
from flyball.serving.load import Load, load_of
from flyball.serving.processes import marked_processes
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable
from running_gateway import LIVE, RunningGateway
from tiny_gguf import tiny_release

PROGRAM = os.environ.get("FLYBALL_VLLM", "")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="FLYBALL_VLLM does not say how vLLM starts")
FLAGS = {"enforce-eager": True, "dtype": "bfloat16", "max-num-batched-tokens": 1024}
BASE = replace(tiny_release(kind="vllm", slots=4, context=1024, flags=FLAGS), chat_template="")
LORA = replace(BASE, adapter="b" * 64)
LABELS = replace(BASE, task="classification", constraint=Constraint(kind="labels", labels=("card lost", "refund")))
QUESTION = [{"role": "user", "content": "where is my parcel?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and an adapter of random weights, in the folders that vLLM reads."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    made = tmp_path_factory.mktemp("vllm")
    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer, tokens.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokens.train_from_iterator(["where is my parcel? card lost refund"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
    tokenizer.save_pretrained(made / "model")
    shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, head_dim=64, **shape)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(made / "model")
    (made / "lora").mkdir()
    weights = {
        f"base_model.model.model.layers.{layer}.self_attn.{name}.lora_{half}.weight": torch.randn(size) / 2
        for layer in range(2)
        for name in ("q_proj", "v_proj")
        for half, size in (("A", (8, 256)), ("B", (256, 8)))
    }
    save_file(weights, made / "lora/adapter_model.safetensors")
    lora = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 8, "bias": "none"}
    lora |= {"target_modules": ["q_proj", "v_proj"], "base_model_name_or_path": str(made / "model")}
    (made / "lora/adapter_config.json").write_text(json.dumps(lora))
    return made


def begin(folder: Path, release: Release) -> EngineHandle:
    return engine_processes.start_engine(
        release,
        release_name=LIVE,
        artifact=folder / "model",
        run_dir=folder / "run",
        log_dir=folder / "logs",
        config=ServingConfig(commands={"vllm": (PROGRAM, "serve")}),
        adapter=folder / "lora" if release.adapter else None,
    )


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[EngineHandle]:
    """One vLLM that serves the base and an adapter on it."""
    handle = engine_processes.wait_ready(begin(folder, LORA), LORA, timeout_s=240)
    yield handle
    assert engine_processes.stop_engine(handle, grace_s=30)
    assert marked_processes(handle.id) == []


Serve = Callable[[Release], RunningGateway]


@pytest.fixture
def serve(engine: EngineHandle, tmp_path: Path) -> Iterator[Serve]:
    """A gateway whose route is a release on that engine."""
    running: list[RunningGateway] = []

    def serve(release: Release) -> RunningGateway:
        point = Endpoint(id=engine.id, url=engine.url, slots=4)
        arm = Arm(release=LIVE, variant="live", weight=1.0, endpoints=(point,), prompt_path=release)
        routes = (Route(name="shop", arms=(arm,), default=True, salt="salt"),)
        gateway = RunningGateway(tmp_path / str(len(running)), RoutingTable(version=1, project="shop", routes=routes))
        running.append(gateway.__enter__())
        return gateway

    yield serve
    for gateway in running:
        gateway.stop()


def load(engine: EngineHandle) -> Load:
    return load_of("127.0.0.1", int(engine.url.rpartition(":")[2]), timeout_s=5)


def recorded(gateway: RunningGateway) -> RequestEntry:
    until = time.monotonic() + 10
    while not (found := gateway.requests()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found[-1]


def ask(gateway: RunningGateway, **fields: Any) -> Any:
    """The whole answer; of a stream the list of its parts."""
    with gateway.client(timeout=60) as client:
        given = {"model": "shop", "messages": QUESTION, "max_tokens": 24, **fields}
        answer = client.chat.completions.create(**given)
        return list(answer) if given.get("stream") else answer


def test_it_answers_looks_and_says_its_load_under_the_names_that_we_read(engine: EngineHandle) -> None:
    look_at(engine)
    assert load(engine) == Load(running=0, waiting=0, cache_share=0.0)
    with urllib.request.urlopen(f"{engine.url}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "request_success_total"):
        assert f"vllm:{name}{{" in page


def test_a_plain_answer_and_a_stream_say_the_same_and_are_recorded(serve: Serve) -> None:
    gateway = serve(BASE)
    whole = ask(gateway, extra_body={"ignore_eos": True})
    assert whole.model == "shop" and whole.usage.completion_tokens == 24
    entry = recorded(gateway)
    assert entry.answer == whole.choices[0].message.content and entry.record.completion_tokens == 24
    parts = ask(gateway, stream=True, stream_options={"include_usage": True}, extra_body={"ignore_eos": True})
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == whole.choices[0].message.content and {part.model for part in parts} == {"shop"}
    assert parts[-1].usage is not None and parts[-1].usage.completion_tokens == 24
    until = time.monotonic() + 10
    while len(found := gateway.requests()) < 2:
        assert time.monotonic() < until
    assert found[1].answer == text and found[1].record.outcome == "ok" and found[1].record.completion_tokens == 24


def test_labels_hold_and_a_client_cannot_lift_them(serve: Serve) -> None:
    gateway = serve(LABELS)
    for question in ("hi", "where is it?", "x" * 100):
        answer = ask(gateway, messages=[{"role": "user", "content": question}], extra_body={"guided_choice": ["no"]})
        assert answer.choices[0].message.content in ("card lost", "refund")


def test_the_adapter_is_what_answers(serve: Serve) -> None:
    base, lora = (ask(serve(release), temperature=0) for release in (BASE, LORA))
    assert base.choices[0].message.content != lora.choices[0].message.content


def test_what_openai_clients_ask_for_passes(serve: Serve) -> None:
    answer = ask(serve(BASE), n=2, temperature=1, seed=7, logprobs=True, top_logprobs=2, stop=["\x00"])
    assert len(answer.choices) == 2
    assert answer.choices[0].logprobs is not None and len(answer.choices[0].logprobs.content[0].top_logprobs) == 2


def test_what_it_refuses_is_said_in_its_words(serve: Serve) -> None:
    with pytest.raises(openai.BadRequestError, match=r"maximum context length|longer than"):
        ask(serve(BASE), messages=[{"role": "user", "content": "parcel " * 2000}])


def test_a_client_that_goes_away_frees_it_at_once(serve: Serve, engine: EngineHandle) -> None:
    gateway = serve(BASE)
    with gateway.client(timeout=60) as client:
        fields = {"max_tokens": 900, "stream": True, "extra_body": {"ignore_eos": True}}
        stream = client.chat.completions.create(model="shop", messages=QUESTION, **fields)
        next(iter(stream))
        assert load(engine).running == 1
        stream.close()
    began = time.monotonic()
    while load(engine).running:
        assert time.monotonic() - began < 1.0
    entry = recorded(gateway)
    assert entry.record.outcome == "aborted" and 0 < entry.record.completion_tokens < 900


def test_a_flag_that_it_does_not_know_is_said_in_its_words(folder: Path) -> None:
    release = replace(BASE, engine=replace(BASE.engine, flags={**FLAGS, "no-such-flag": "1"}))
    with pytest.raises(UpstreamError, match="unrecognized arguments: --no-such-flag"):
        engine_processes.wait_ready(begin(folder, release), release, timeout_s=120)
