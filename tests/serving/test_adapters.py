"""LoRA adapters on one base: taken in, applied, and the base held once in memory however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flyball.errors import InputError, NotFoundError
from flyball.inference.completions import HttpCompleter
from flyball.registry.adapters import ADAPTER, import_adapter, is_adapter
from flyball.serving import engine_processes
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import EngineHandle
from flyball.serving.gpus import built_in_gpus
from flyball.serving.processes import proportional_bytes
from tiny_gguf import tiny_release, write_tiny_adapter, write_tiny_gguf

HIDDEN, LAYERS = 1024, 6
RELEASE = replace(tiny_release(slots=1), adapter="b" * 64, sampling={"temperature": 0, "max_tokens": 24})


@contextmanager
def running(model: Path, adapter: Path | None, folder: Path) -> Iterator[EngineHandle]:
    handle = engine_processes.start_engine(
        RELEASE,
        release_name="a" * 64,
        artifact=model,
        adapter=adapter,
        run_dir=folder,
        log_dir=folder,
        config=ServingConfig(),
    )
    try:
        yield engine_processes.wait_ready(handle, RELEASE, timeout_s=60)
    finally:
        engine_processes.stop_engine(handle, grace_s=0.5)


def said(handle: EngineHandle) -> str:
    body = {"messages": [{"role": "user", "content": "hi"}], "ignore_eos": True}
    return HttpCompleter(handle.url, release=RELEASE).complete(body).text


@pytest.mark.skipif(bool(built_in_gpus()), reason="on a GPU each engine has weights of its own")
def test_each_adapter_answers_in_its_own_way_and_all_share_the_weights_of_their_base(tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "model.gguf", hidden=HIDDEN, layers=LAYERS, printable=True)
    adapters: list[Path | None] = [None]
    for seed in (1, 2):
        write_tiny_adapter(tmp_path / f"{seed}.gguf", seed=seed, hidden=HIDDEN, layers=LAYERS)
        import_adapter(tmp_path / f"{seed}.gguf", project="shop", out=tmp_path / str(seed))
        adapters.append(tmp_path / str(seed))
    weights = model.stat().st_size
    with ExitStack() as stack:
        handles = [stack.enter_context(running(model, adapter, tmp_path)) for adapter in adapters]
        assert len({said(handle) for handle in handles}) == 3
        held = sum(proportional_bytes(handle.pid) for handle in handles)
    assert weights > 100e6
    assert held < 2.2 * weights  # three copies would be more than three


def test_an_adapter_is_told_from_a_model_and_from_nothing(tmp_path: Path) -> None:
    adapter = write_tiny_adapter(tmp_path / "small.gguf")
    assert is_adapter(adapter) and not is_adapter(tmp_path)
    version = import_adapter(adapter, project="shop", out=tmp_path / "out")
    assert (version.architecture, version.formats) == ("llama", ("gguf-lora",))
    assert [file.path for file in version.files] == [ADAPTER]
    with pytest.raises(InputError, match="no LoRA adapter"):
        import_adapter(write_tiny_gguf(tmp_path / "model.gguf"), project="shop", out=tmp_path / "other")
    peft = tmp_path / "peft"
    peft.mkdir()
    (peft / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "base"}')
    assert is_adapter(peft)
    with pytest.raises(InputError, match="as safetensors"):
        import_adapter(peft, project="shop", out=tmp_path / "third")
    (peft / "adapter_model.safetensors").write_bytes(b"")
    assert import_adapter(peft, project="shop", out=tmp_path / "third").formats == ("peft-lora",)


def test_an_adapter_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    with (
        pytest.raises(NotFoundError, match=r"no adapter\.gguf"),
        running(write_tiny_gguf(tmp_path / "model.gguf"), tmp_path, tmp_path),
    ):
        pass
