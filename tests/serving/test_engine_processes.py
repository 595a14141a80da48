"""Engines: real processes with a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flyball.errors import CorruptionError, InputError, NotFoundError, UpstreamError
from flyball.serving import engine_processes
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import EngineHandle
from tiny_gguf import tiny_release, write_tiny_gguf

RELEASE = tiny_release()
Start = Callable[..., EngineHandle]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("model") / "model.gguf").parent


@pytest.fixture
def start(model: Path, tmp_path: Path) -> Iterator[Start]:
    def start(artifact: Path = model, **settings: object) -> EngineHandle:
        return engine_processes.start_engine(
            RELEASE,
            release_name="a" * 64,
            artifact=artifact,
            run_dir=tmp_path / "run",
            log_dir=tmp_path / "logs",
            config=ServingConfig(**settings),  # type: ignore[arg-type]
        )

    yield start
    for handle in engine_processes.running_engines(tmp_path / "run"):
        engine_processes.stop_engine(handle, grace_s=0.5)


def ask(url: str, *, tokens: int = 4, timeout: float = 20) -> dict[str, object]:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": tokens, "ignore_eos": True}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.loads(answer.read())  # type: ignore[no-any-return]


def test_ready_means_that_a_real_inference_has_answered(start: Start, tmp_path: Path) -> None:
    handle = start()
    assert not handle.ready
    handle = engine_processes.wait_ready(handle, RELEASE, timeout_s=20)
    assert handle.ready and handle.url.startswith("http://127.0.0.1:")
    assert ask(handle.url)["choices"]
    (found,) = engine_processes.running_engines(tmp_path / "run")
    assert found == handle


def test_an_engine_outlives_the_process_that_started_it_and_is_found_again(model: Path, tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; sys.path.insert(0, sys.argv[4])\n"
        "from tiny_gguf import tiny_release; from flyball.serving import engine_processes; "
        "from flyball.serving.config import ServingConfig\n"
        "engine_processes.start_engine(tiny_release(), release_name='a'*64, artifact=Path(sys.argv[1]), "
        "run_dir=Path(sys.argv[2]), log_dir=Path(sys.argv[3]), config=ServingConfig())\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    arguments = [str(model), str(tmp_path), str(tmp_path), str(Path(__file__).parents[1] / "support")]
    died = subprocess.run([sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    (found,) = engine_processes.running_engines(tmp_path)
    try:
        assert ask(engine_processes.wait_ready(found, RELEASE, timeout_s=20).url)["choices"]
    finally:
        assert engine_processes.stop_engine(found, grace_s=5)
    assert engine_processes.running_engines(tmp_path) == []


def test_slots_and_context_of_the_release_reach_the_engine(start: Start) -> None:
    handle = engine_processes.wait_ready(start(), RELEASE, timeout_s=20)
    with urllib.request.urlopen(f"{handle.url}/slots", timeout=5) as answer:
        slots = json.loads(answer.read())
    assert len(slots) == RELEASE.engine.slots
    assert {slot["n_ctx"] for slot in slots} == {256}  # 128, in steps of 256


def test_an_engine_is_in_a_session_of_its_own(start: Start) -> None:
    handle = engine_processes.wait_ready(start(), RELEASE, timeout_s=20)
    assert os.getsid(handle.pid) != os.getsid(0)


def test_a_corrupt_model_file_gives_the_engines_last_words_and_a_cure(
    start: Start, model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.gguf").write_bytes((model / "model.gguf").read_bytes()[:50_000])
    with pytest.raises(CorruptionError, match="not within the file bounds") as caught:
        engine_processes.wait_ready(start(broken), RELEASE, timeout_s=20)
    assert "flyball package" in caught.value.cure
    assert isinstance(caught.value, UpstreamError)


def test_a_missing_model_file_is_named_before_anything_starts(start: Start, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no model\.gguf"):
        start(tmp_path)
    assert engine_processes.running_engines(tmp_path / "run") == []


def test_sigterm_lets_a_request_in_work_finish(tmp_path: Path) -> None:
    roomy = replace(RELEASE, engine=replace(RELEASE.engine, context=1500))
    handle = engine_processes.start_engine(
        roomy,
        release_name="d" * 64,
        artifact=write_tiny_gguf(tmp_path / "slow.gguf", hidden=256, layers=8, context=1500),
        run_dir=tmp_path,
        log_dir=tmp_path,
        config=ServingConfig(),
    )
    handle = engine_processes.wait_ready(handle, roomy, timeout_s=20)
    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(handle.url, tokens=1200))) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while not busy(handle.url):
        assert time.monotonic() < deadline and not answers
        time.sleep(0.005)
    assert engine_processes.stop_engine(handle, grace_s=30)
    for thread in threads:
        thread.join()
    assert len(answers) == 2


def busy(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/slots", timeout=5) as answer:
        return all(slot["is_processing"] for slot in json.loads(answer.read()))


def test_a_killed_engine_is_dead_at_once_and_its_file_goes(start: Start, tmp_path: Path) -> None:
    handle = engine_processes.wait_ready(start(), RELEASE, timeout_s=20)
    os.kill(handle.pid, signal.SIGKILL)
    deadline = time.monotonic() + 2
    while engine_processes.is_alive(handle) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not engine_processes.is_alive(handle)
    assert engine_processes.running_engines(tmp_path / "run") == []
    assert list((tmp_path / "run" / "engines").glob("*.json")) == []


def test_a_stranger_with_a_reused_pid_is_never_signalled(start: Start) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]) as stranger:
        imposter = EngineHandle(id="x", release="r", url="", pid=stranger.pid, started=1.0, log=Path("x"))
        assert not engine_processes.is_alive(imposter)
        assert engine_processes.stop_engine(imposter, grace_s=0.1)
        assert stranger.poll() is None
        stranger.kill()


def test_a_file_of_another_boot_names_no_engine(start: Start, tmp_path: Path) -> None:
    handle = engine_processes.wait_ready(start(), RELEASE, timeout_s=20)
    assert handle.file is not None
    text = json.loads(handle.file.read_text())
    handle.file.write_text(json.dumps({**text, "boot": "another"}))
    assert engine_processes.running_engines(tmp_path / "run") == []
    engine_processes.stop_engine(replace(handle, file=None), grace_s=2)


def test_an_engine_that_outgrows_its_memory_says_so_and_ends(tmp_path: Path) -> None:
    roomy = replace(RELEASE, engine=replace(RELEASE.engine, context=60_000))
    handle = engine_processes.start_engine(
        roomy,
        release_name="b" * 64,
        artifact=write_tiny_gguf(tmp_path / "big.gguf", hidden=256, layers=8, context=60_000),
        run_dir=tmp_path,
        log_dir=tmp_path,
        config=ServingConfig(memory_limit_mb=64),
    )
    with pytest.raises(UpstreamError, match="memory_limit_mb is 64"):
        for _ in range(100):
            handle = engine_processes.wait_ready(handle, roomy, timeout_s=20)
            time.sleep(0.1)


def test_an_evaluation_engine_ends_with_its_block(model: Path) -> None:
    with engine_processes.engine_process(RELEASE, model, timeout_s=20) as url:
        assert ask(url)["choices"]
    with pytest.raises(OSError):
        ask(url, timeout=2)


def test_an_evaluation_engine_ends_when_its_owner_is_killed(model: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tiny_gguf import tiny_release; from flyball.serving import engine_processes\n"
        "with engine_processes.engine_process(tiny_release(), Path(sys.argv[1])) as url:\n"
        "    print(url, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    arguments = [sys.executable, "-c", code, str(model), str(Path(__file__).parents[1] / "support")]
    url = subprocess.run(arguments, check=False, capture_output=True, text=True).stdout.strip()
    assert url.startswith("http://127.0.0.1:")  # else nothing was started, and nothing is no proof
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            ask(url, timeout=2)
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail("the engine is still there")


def test_an_openai_engine_needs_no_process_but_a_url(tmp_path: Path) -> None:
    def start(flags: dict[str, object]) -> EngineHandle:
        return engine_processes.start_engine(
            tiny_release(kind="openai", flags=flags),
            release_name="c" * 64,
            artifact=tmp_path,
            run_dir=tmp_path,
            log_dir=tmp_path,
            config=ServingConfig(),
        )

    handle = start({"url": "http://127.0.0.1:9/v1/"})
    assert (handle.pid, handle.url) == (0, "http://127.0.0.1:9")
    assert engine_processes.is_alive(handle) and engine_processes.stop_engine(handle, grace_s=0)
    with pytest.raises(InputError, match="names no url"):
        start({})
    with pytest.raises(UpstreamError, match="was not ready within"):
        engine_processes.wait_ready(
            handle, tiny_release(kind="openai", flags={"url": "http://127.0.0.1:9"}), timeout_s=0.3
        )
