"""A real model that somebody has as one file answers through a release, in its own chat template."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import msgspec

from flyball.engines.llama_cpp import LlamaCppConfig
from flyball.inference.completions import HttpCompleter
from flyball.inference.templates import render
from flyball.registry.config import ReleaseConfig, SamplingConfig
from flyball.registry.gguf.model import import_gguf
from flyball.registry.release_composition import compose
from flyball.serving.engine_processes import engine_process
from real_models import smollm2


def test_smollm2_from_a_gguf_file_answers_in_its_own_template(tmp_path: Path) -> None:
    model = import_gguf(smollm2(), project="desk", out=tmp_path / "model")
    assert (model.parameters, model.formats, model.context_length) == (134_515_008, ("gguf:q4_1",), 8192)
    config = ReleaseConfig(engine=LlamaCppConfig(slots=1, context=512), sampling=SamplingConfig(max_tokens=24))
    release = compose(config, project="desk", task="chat", model=model, labels=(), redaction="none")
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    with engine_process(release, tmp_path / "model", timeout_s=120) as url:
        answer = HttpCompleter(url, release=release).complete({"messages": messages})
        request = urllib.request.Request(f"{url}/apply-template", msgspec.json.encode({"messages": messages}))
        with urllib.request.urlopen(request, timeout=30) as response:
            prompt = json.load(response)["prompt"]
    assert answer.prompt_tokens == 37 and len(answer.text.split()) > 5, "the template's own system message is in it"
    assert prompt == render(model.chat_template, messages, add_generation_prompt=True)
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
