"""GPU memory: what nvidia-smi says, and whether one more vLLM would find its share free."""

from __future__ import annotations

from pathlib import Path

import pytest
import xllamacpp

from fake_gpus import GIB, fake_gpus
from flyball.engines.llama_cpp import GPU_BYTES, GPU_PROCESS_BYTES
from flyball.errors import EnvironmentMissing
from flyball.records import JSON
from flyball.serving import placement
from flyball.serving.gpus import Gpu, built_in_gpus, visible_gpus
from flyball.serving.placement import need_of, require_memory
from tiny_gguf import tiny_release, write_tiny_gguf


def ask_for(folder: Path, flags: dict[str, JSON], *, replicas: int = 1, ending: dict[str, JSON] | None = None) -> None:
    live = [] if ending is None else [(tiny_release(kind="vllm", flags=ending), folder)]
    require_memory(tiny_release(kind="vllm", flags=flags), folder, replicas=replicas, ending=live)


def fits(folder: Path, flags: dict[str, JSON], *, replicas: int = 1, ending: dict[str, JSON] | None = None) -> bool:
    try:
        ask_for(folder, flags, replicas=replicas, ending=ending)
    except EnvironmentMissing:
        return False
    return True


def test_gpus_are_read_in_the_order_in_which_cuda_numbers_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(tmp_path, monkeypatch, [(80, 70), (80, 8)])
    first, second = Gpu("0", "GPU-aa00", 80 * GIB, 70 * GIB), Gpu("1", "GPU-aa01", 80 * GIB, 8 * GIB)
    assert visible_gpus() == (first, second)
    for wanted, expected in (
        ("1", (second,)),
        ("1, 0", (second, first)),
        ("GPU-aa01", (second,)),
        ("0,7,1", (first,)),
        ("", ()),
        ("-1", ()),
    ):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", wanted)
        assert visible_gpus() == expected


@pytest.mark.parametrize(
    "script", ["exit 9", "echo 0, GPU-aa00, [N/A], [N/A]", "echo No devices were found", "sleep 60"]
)
def test_what_nvidia_smi_does_not_say_is_not_known_and_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    fake_gpus(tmp_path, monkeypatch, [], script=script)
    assert visible_gpus(timeout_s=0.5) == ()
    assert script == "sleep 60" or fits(tmp_path, {})


def test_a_vllm_whose_share_is_not_free_is_refused_with_the_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gpus(tmp_path, monkeypatch, [(80, 70), (80, 40)])
    with pytest.raises(EnvironmentMissing, match=r"takes 0.9 of GPU 0, 77.3 GB, beside the live one; 75.2 of 85.9 GB"):
        ask_for(tmp_path, {})
    with pytest.raises(EnvironmentMissing, match=r"takes 0.8 of GPU 1") as caught:
        ask_for(tmp_path, {"gpu_memory_utilization": 0.8, "tensor-parallel-size": 2})
    for choice in ("gpu-memory-utilization", "replicas", "CUDA_VISIBLE_DEVICES", "another host", "--allow-downtime"):
        assert choice in caught.value.cure
    with pytest.raises(EnvironmentMissing, match=r"0.45 of GPU 0 in each of 2 replicas"):
        ask_for(tmp_path, {"gpu-memory-utilization": 0.45}, replicas=2)
    with pytest.raises(EnvironmentMissing, match="spread over 4 GPUs, 2 can be used here"):
        ask_for(tmp_path, {"tensor-parallel-size": 2, "pipeline-parallel-size": 2})


def test_a_vllm_whose_share_is_free_or_not_to_be_known_is_let_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_gpus(tmp_path, monkeypatch, [(80, 70), (80, 40)])
    assert fits(tmp_path, {"gpu-memory-utilization": 0.87})
    assert fits(tmp_path, {"gpu-memory-utilization": 0.43}, replicas=2)
    assert fits(tmp_path, {"gpu-memory-utilization": 0.5, "tensor-parallel-size": 2})
    assert fits(tmp_path, {"kv-cache-memory-bytes": 1})
    assert fits(tmp_path, {"distributed-executor-backend": "ray", "tensor-parallel-size": 16})
    assert fits(tmp_path, {}, ending={"gpu-memory-utilization": 0.1})
    assert not fits(tmp_path, {})
    require_memory(tiny_release(kind="vllm"), tmp_path, ending=[(tiny_release(), tmp_path)])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert fits(tmp_path, {"gpu-memory-utilization": 0.5})
    assert not fits(tmp_path, {"gpu-memory-utilization": 0.6})


def test_a_llama_cpp_that_computes_on_a_gpu_needs_its_memory_and_little_of_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_gguf(tmp_path / "model.gguf", hidden=512, layers=8)
    weights = (tmp_path / "model.gguf").stat().st_size
    release = tiny_release(slots=4, context=512)
    need = need_of(release, tmp_path, on_gpu=True)
    assert need.gpu > weights + GPU_BYTES and need.of(2, mapped=False) == 2 * GPU_PROCESS_BYTES
    free = [need.gpu]
    gpus = lambda: (Gpu("CUDA0", "0000:00:06.0", 80 * GIB, free[0]),)  # noqa: E731
    monkeypatch.setattr(placement, "built_in_gpus", gpus)
    require_memory(release, tmp_path)
    with pytest.raises(EnvironmentMissing, match=r"needs about 1,\d+ MB of GPU memory beside the live one") as caught:
        require_memory(release, tmp_path, replicas=2)
    assert "--allow-downtime" in caught.value.cure
    free[0] = 0
    require_memory(release, tmp_path, ending=[(release, tmp_path)])
    require_memory(release, tmp_path, ending=[(tiny_release(kind="vllm"), tmp_path)])  # whatever that held is free
    with pytest.raises(EnvironmentMissing, match="GPU memory"):
        require_memory(release, tmp_path)


def test_the_usual_llama_cpp_computes_on_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gpus(tmp_path, monkeypatch, [(80, 70)])
    on_gpu = [one for one in xllamacpp.get_device_info() if one["type"].name.endswith("_GPU")]
    assert len(built_in_gpus()) == len(on_gpu)
    fake_gpus(tmp_path, monkeypatch, [])
    assert built_in_gpus() == ()
