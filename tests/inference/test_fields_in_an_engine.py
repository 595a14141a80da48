"""What a client sends of an engine's own fields does nothing to llama.cpp, nor to whoever waits behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flyball.inference.completions import HttpCompleter
from flyball.inference.request_fields import fields_of_release
from small_models import engine
from tiny_gguf import tiny_release, write_tiny_gguf

END = 259  # the tiny model's token that ends an answer
ASK = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 60, "logit_bias": {str(END): 100}}


def test_ignore_eos_keeps_no_slot_of_the_engine_busy_and_changes_no_answer(tmp_path: Path) -> None:
    before = tiny_release(slots=1)
    fields = fields_of_release(None, labels=False, tools=False, elsewhere=False)
    with engine(write_tiny_gguf(tmp_path / "m.gguf"), context=128, slots=1) as url:
        for release, ends in ((before, "length"), (replace(before, request_fields=fields), "stop")):
            completer = HttpCompleter(url, release=release)
            plain, odd = completer.complete(ASK), completer.complete({**ASK, "ignore_eos": True, "n_predict": 90})
            completer.close()
            assert plain.finish_reason == "stop" and plain.completion_tokens <= 1
            assert odd.finish_reason == ends and (odd.completion_tokens > 50) == (ends == "length")
