"""Where two copies do not fit: refused with the choices, or, where somebody allows it, one after the other."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from control_shop import Shop, decision_for, passes
from fake_gpus import fake_gpus
from flyball.control.reconciler import step
from flyball.engines.llama_cpp import PROCESS_BYTES
from flyball.records import name_of
from flyball.rollout.deployments import rollback
from flyball.serving.engine_processes import running_engines
from flyball.storage.deployments import history
from tiny_gguf import tiny_release

STAND_IN = (sys.executable, str(Path(__file__).parents[1] / "support" / "stand_in_vllm.py"), "serve")
SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


class Memory:
    def __init__(self, available: int) -> None:
        self.available = available


@SQLITE
def test_what_does_not_fit_beside_the_live_one_is_refused_and_the_live_one_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = shop.release("one"), shop.release("two", slots=4)
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(PROCESS_BYTES // 2))
    refused = shop.deploy(two)
    passes(context, lambda: shop.states(refused)[-1] == "failed")
    reason = str(history(shop.ledger, refused.id)[-1][0].evidence["reason"])
    assert "beside the live one" in reason and "--allow-downtime" in reason
    assert shop.arms()["live"][::2] == (one, 1)


@SQLITE
def test_allowed_downtime_ends_the_live_one_first_and_a_rollback_brings_it_back(shop: Shop) -> None:
    one, two = shop.release("one"), shop.release("two")
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    shop.deploy(two, downtime=True)
    together = []

    def arrived() -> bool:
        together.append({engine.release for engine in running_engines(context.run_dir)})
        return shop.arms()["live"][::2] == (two, 1)

    passes(context, arrived)
    assert {one, two} not in together and {one} in together and set() in together
    for _ in range(5):
        step(context)
    assert {engine.release for engine in running_engines(context.run_dir)} == {two}  # nothing is kept hot beside it
    rollback(shop.ledger, "shop", requested_by="somebody", reason="a test")
    passes(context, lambda: shop.arms()["live"][::2] == (one, 1))


@SQLITE
def test_one_that_cannot_start_after_the_live_one_ended_brings_the_live_one_back(shop: Shop) -> None:
    one, bad = shop.release("one"), shop.release("bad", corrupt=True)
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    broken = shop.deploy(bad, downtime=True)
    passes(context, lambda: shop.states(broken)[-1] == "failed")
    passes(context, lambda: shop.arms()["live"][::2] == (one, 1))
    assert shop.live() == one
    assert [engine.release for engine in running_engines(context.run_dir)] == [one]


@SQLITE
def test_a_second_vllm_on_a_gpu_that_is_full_is_refused_or_takes_the_place_of_the_first(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (vllm_release(shop, prompt) for prompt in ("one", "two"))
    fake_gpus(tmp_path, monkeypatch, [(80, 79)])
    context = shop.control(commands={"vllm": STAND_IN})
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    fake_gpus(tmp_path, monkeypatch, [(80, 7)])
    refused = shop.deploy(two)
    passes(context, lambda: shop.states(refused)[-1] == "failed")
    assert "takes 0.9 of GPU 0" in str(history(shop.ledger, refused.id)[-1][0].evidence["reason"])
    assert {engine.release for engine in running_engines(context.run_dir)} == {one}
    allowed = shop.deploy(two, downtime=True)
    passes(context, lambda: shop.arms()["live"][::2] == (two, 1))
    assert shop.states(allowed)[-1] == "live"


def vllm_release(shop: Shop, prompt: str) -> str:
    """One that takes nine tenths of a GPU, admitted by a gate."""
    folder = shop.root / "model-hf"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    model = shop.take_in(folder, "safetensors")
    release = tiny_release(system_prompt=prompt, model=model, kind="vllm", flags={"gpu-memory-utilization": 0.9})
    shop.ledger.append(release)
    shop.ledger.append(decision_for(name_of(release)))
    return name_of(release)
