"""Engines of kind vllm: a process with the release's flags, shown with a stand-in that speaks vLLM's CLI and API."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flyball.engines.vllm import KIND
from flyball.errors import ConfigError, UpstreamError
from flyball.inference.prompt_path import engine_request
from flyball.records import Constraint, Release
from flyball.serving import engine_processes
from flyball.serving.config import ServingConfig
from flyball.serving.engine_logs import LAST_LINES, last_lines
from flyball.serving.engine_processes import EngineHandle
from flyball.serving.liveness import look_at
from flyball.serving.load import Load, parse_load
from flyball.serving.processes import marked_processes
from tiny_gguf import tiny_release

STAND_IN = (sys.executable, str(Path(__file__).parents[1] / "support" / "stand_in_vllm.py"), "serve")
RELEASE = tiny_release(kind="vllm", slots=8, context=512)
LABELS = Constraint(kind="labels", labels=("card lost", "refund"))
Start = Callable[..., EngineHandle]


def command_of(release: Release, **given: Any) -> tuple[str, ...]:
    return KIND.started(release, **given).command


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return tmp_path / "model"


@pytest.fixture
def start(model: Path, tmp_path: Path) -> Iterator[Start]:
    def start(release: Release = RELEASE, *, adapter: Path | None = None, **settings: Any) -> EngineHandle:
        return engine_processes.start_engine(
            release,
            release_name="a" * 64,
            artifact=model,
            run_dir=tmp_path / "run",
            log_dir=tmp_path / "logs",
            config=ServingConfig(commands={"vllm": STAND_IN}, **settings),
            adapter=adapter,
        )

    yield start
    for handle in engine_processes.running_engines(tmp_path / "run"):
        engine_processes.stop_engine(handle, grace_s=2)


def ask(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def gone(handle: EngineHandle, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while engine_processes.is_alive(handle) or marked_processes(handle.id):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_the_release_decides_the_command_line(tmp_path: Path) -> None:
    flags = {"max_num_batched_tokens": 2048, "enforce-eager": True, "quantization": None}
    release = tiny_release(kind="vllm", slots=8, context=512, flags=flags)
    command = command_of(release, model=tmp_path, adapter=tmp_path / "lora", program=("vllm", "serve"))
    expected = f"vllm serve {tmp_path} --host 127.0.0.1 --port {{port}} --served-model-name base --max-model-len 512"
    expected += f" --max-num-seqs 8 --enable-lora --lora-modules adapter={tmp_path}/lora"
    assert " ".join(command) == f"{expected} --enforce-eager --max-num-batched-tokens 2048"


@pytest.mark.parametrize("flag", ["port", "--host", "trust_remote_code", "api-key"])
def test_flags_that_are_not_a_releases_are_refused(flag: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which Flyball sets itself"):
        command_of(tiny_release(kind="vllm", flags={flag: "1"}), model=tmp_path, adapter=None, program=("vllm",))
    with pytest.raises(ConfigError, match="give a text"):
        command_of(tiny_release(kind="vllm", flags={"x": [1]}), model=tmp_path, adapter=None, program=("vllm",))


def test_it_is_ready_after_a_real_answer_and_says_its_load(start: Start) -> None:
    handle = start()
    assert not handle.url  # it is loading
    handle = engine_processes.wait_ready(handle, RELEASE, timeout_s=20)
    assert len(marked_processes(handle.id)) == 2  # the server and its core
    look_at(handle)
    with urllib.request.urlopen(f"{handle.url}/metrics", timeout=5) as answer:
        assert parse_load(answer.read().decode()) == Load(running=0, waiting=0, cache_share=0.25)
    assert engine_processes.stop_engine(handle, grace_s=10)
    assert gone(handle)


def test_it_reports_to_nobody(start: Start) -> None:
    handle = engine_processes.wait_ready(start(), RELEASE, timeout_s=20)
    for pid in marked_processes(handle.id):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert {b"VLLM_NO_USAGE_STATS=1", b"DO_NOT_TRACK=1", b"HF_HUB_DISABLE_TELEMETRY=1"} <= set(environment)


def test_labels_are_a_choice_among_its_structured_outputs_and_a_client_cannot_lift_it(start: Start) -> None:
    release = replace(RELEASE, task="classification", constraint=LABELS)
    handle = engine_processes.wait_ready(start(release), release, timeout_s=20)
    body = {"model": "shop", "messages": [{"role": "user", "content": "hi"}], "guided_choice": ["anything"]}
    body["structured_outputs"] = {"choice": ["something else"]}
    answer = ask(handle.url, engine_request(release, body))
    assert answer["choices"][0]["message"]["content"] == "card lost"
    asked = answer["asked"]
    assert asked["structured_outputs"] == {"choice": ["card lost", "refund"]}
    assert asked["model"] == "base" and asked["temperature"] == 0
    assert "grammar" not in asked and "guided_choice" not in asked


def test_an_adapter_is_a_module_on_the_base_and_is_what_answers(start: Start, tmp_path: Path) -> None:
    release = replace(RELEASE, adapter="b" * 64)
    handle = engine_processes.wait_ready(start(release, adapter=tmp_path), release, timeout_s=20)
    answer = ask(handle.url, engine_request(release, {"messages": [{"role": "user", "content": "hi"}]}))
    assert answer["choices"][0]["message"]["content"] == "said by adapter"


def test_told_to_end_it_finishes_its_requests(start: Start) -> None:
    handle = engine_processes.wait_ready(start(), RELEASE, timeout_s=20)
    answers: list[Any] = []
    body = engine_request(RELEASE, {"messages": [{"role": "user", "content": "hi"}], "hold_s": 1.5})
    asking = threading.Thread(target=lambda: answers.append(ask(handle.url, body)))
    asking.start()
    time.sleep(0.5)
    assert engine_processes.stop_engine(handle, grace_s=10)
    asking.join()
    assert answers and gone(handle)


def test_one_that_cannot_load_gives_its_last_words(start: Start, model: Path) -> None:
    (model / "config.json").unlink()
    with pytest.raises(UpstreamError, match="does not appear to have a file named"):
        engine_processes.wait_ready(start(), RELEASE, timeout_s=20)


def test_the_cause_is_quoted_though_the_last_words_are_of_another_process(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    prefix = "(Worker-0 pid=5323) ERROR 11-27 20:31:30 [executor.py:953]"
    lines = [
        "engine 1 for release r loads m",
        "ValueError: of an engine before",
        "engine 1 ends: its server ended with 1",
        "engine 2 for release r loads m",
        "WARNING may cause errors like `OSError: [Errno 24] Too many open files`",
        f"{prefix}     raise ValueError(",
        f"{prefix} torch.OutOfMemoryError: 8 of 80 GB are free",
        *(f'  File "core.py", line {number}, in start' for number in range(200)),
        "RuntimeError: the engine's start failed. See root cause above.",
        "engine 2 ends: its server ended with 1",
    ]
    log.write_text("\n".join(lines))
    quoted = last_lines(log, "2").strip().splitlines()
    assert quoted[0] == "torch.OutOfMemoryError: 8 of 80 GB are free" and len(quoted) == LAST_LINES
    assert quoted[-2].strip() == "RuntimeError: the engine's start failed. See root cause above."
    assert "an engine before" in last_lines(log, "1") and last_lines(tmp_path / "none") == ""
    for nobody in ("", "3"):  # one that ended before its first word has none of another's cause
        assert "an engine before" not in last_lines(log, nobody) and "80 GB" not in last_lines(log, nobody)


def test_a_flag_that_it_does_not_know_is_said_in_its_words(start: Start) -> None:
    release = tiny_release(kind="vllm", flags={"no-such-flag": "1"})
    with pytest.raises(UpstreamError, match="unrecognized arguments: --no-such-flag"):
        engine_processes.wait_ready(start(release), release, timeout_s=20)


def test_one_that_grows_beyond_its_memory_is_ended_with_all_its_processes_and_says_so(start: Start) -> None:
    handle = engine_processes.wait_ready(start(memory_limit_mb=150), RELEASE, timeout_s=20)
    body = engine_request(RELEASE, {"messages": [{"role": "user", "content": "hi"}], "hold_mb": 200})
    with suppress(OSError):
        ask(handle.url, body)  # it may be ended before it has answered
    assert gone(handle)
    assert "serving.memory_limit_mb is 150" in str(engine_processes.dead(handle))


def test_killing_the_process_that_watches_it_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    handle = engine_processes.wait_ready(start(), RELEASE, timeout_s=20)
    os.kill(handle.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while engine_processes.running_engines(tmp_path / "run"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert gone(handle)  # the server by the kernel, its core by whoever looked
