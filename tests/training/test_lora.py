"""LoRA trains adapters alone, and leaves a merged model that every later stage takes as any other."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from flyball.engines.catalog import DEFAULT
from flyball.errors import InputError
from flyball.records import DatasetVersion, TrainingRun
from flyball.registry.adapters import ADAPTER, import_adapter, is_adapter
from flyball.registry.config import PackageConfig
from flyball.registry.packaging import package
from flyball.telemetry import Progress, quiet
from flyball.training.config import LoraConfig, TrainConfig
from flyball.training.training_run import recipe_of, train
from small_models import RECIPE, rows, write_dataset

ADAPTED = msgspec.structs.replace(
    RECIPE, method="lora", base="base", steps=30, learning_rate=3e-3, lora=LoraConfig(rank=4, alpha=16)
)


class Shop:
    """One dataset, a base model that has learned nothing yet, and trainings on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset: DatasetVersion = write_dataset(folder / "dataset", rows(100, seed=3), rows(40, seed=4))
        self.base = self.train(msgspec.structs.replace(RECIPE, steps=25), "base")

    def train(
        self, config: TrainConfig, out: str, *, checkpoints: Path | None = None, progress: Progress = quiet
    ) -> TrainingRun:
        return train(
            config,
            project="shop",
            task="classification",
            dataset=self.dataset,
            dataset_dir=self.folder / "dataset",
            base_dir=self.folder / "base" if config.base else None,
            out=self.folder / out,
            tracking_uri=f"sqlite:///{self.folder}/mlflow.db",
            progress=progress,
            checkpoints_dir=checkpoints,
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def adapted(shop: Shop) -> TrainingRun:
    return shop.train(ADAPTED, "adapted")


def test_adapters_learn_what_the_base_does_not_know(shop, adapted):
    assert adapted.method == "lora" and adapted.base_model == shop.base.weights_hash
    assert adapted.tokenizer_hash == shop.base.tokenizer_hash
    assert adapted.metrics["validation_loss"] < 0.5 * shop.base.metrics["validation_loss"]


def test_the_merged_weights_are_the_base_and_the_adapter_and_nothing_else(shop, adapted):
    before, after = (load_file(shop.folder / name / "model.safetensors") for name in ("base", "adapted"))
    adapter = load_file(shop.folder / "adapted" / "adapter" / "adapter_model.safetensors")
    assert {name: weight.shape for name, weight in after.items()} == {name: w.shape for name, w in before.items()}
    changed = set()
    for name, weight in after.items():
        down = adapter.get(f"base_model.model.{name.removesuffix('.weight')}.lora_A.weight")
        if down is None:
            assert torch.equal(weight, before[name]), name
            continue
        up = adapter[f"base_model.model.{name.removesuffix('.weight')}.lora_B.weight"]
        assert not torch.equal(weight, before[name])
        torch.testing.assert_close(weight - 16 / 4 * up @ down, before[name], rtol=0, atol=1e-6)
        changed.add(name)
    assert len(changed) == 2 * 7 and len(adapter) == 2 * len(changed), "each linear layer but the head, in two blocks"
    assert adapted.metrics["parameters"] == sum(weight.numel() for weight in before.values())
    assert adapted.metrics["parameters_trained"] == sum(weight.numel() for weight in adapter.values())
    assert adapted.metrics["parameters"] == shop.base.metrics["parameters"]


def test_the_merged_model_answers_as_base_and_adapter_do(shop, adapted):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(shop.folder / "base")
    beside = PeftModel.from_pretrained(base, shop.folder / "adapted" / "adapter").eval()
    merged = AutoModelForCausalLM.from_pretrained(shop.folder / "adapted").eval()
    ids = torch.arange(5, 45).reshape(2, 20)
    with torch.inference_mode():
        torch.testing.assert_close(beside(ids).logits, merged(ids).logits, rtol=0, atol=1e-4)


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_others(shop, adapted):
    again = shop.train(ADAPTED, "again")
    assert again == adapted
    one, two = ({p.name: p.read_bytes() for p in (shop.folder / n / "adapter").iterdir()} for n in ("adapted", "again"))
    assert one == two and set(one) == {"adapter_config.json", "adapter_model.safetensors"}
    assert json.loads(one["adapter_config.json"])["base_model_name_or_path"] == "base"
    assert shop.train(msgspec.structs.replace(ADAPTED, seed=2), "other").weights_hash != adapted.weights_hash


def test_a_stopped_training_of_adapters_goes_on_to_the_same_bits(shop, adapted, tmp_path):
    often = msgspec.structs.replace(ADAPTED, checkpoint_every_s=1e-6)
    seen: list[int] = []

    def stop(_what: str, done: int, _total: int) -> None:
        seen.append(done)
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shop.train(often, "stopped", checkpoints=tmp_path, progress=stop)
    assert seen[-1] == 20 and list(tmp_path.glob("*/step-*.safetensors"))
    went_on: list[int] = []
    resumed = shop.train(often, "stopped", checkpoints=tmp_path, progress=lambda _w, done, _t: went_on.append(done))
    assert resumed == adapted and 10 not in went_on, "it began after the checkpoint"
    one, two = (
        (shop.folder / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("adapted", "stopped")
    )
    assert one == two


def test_the_merged_model_is_packaged_and_its_adapter_imported(shop, adapted, tmp_path):
    model = package(
        shop.folder / "adapted",
        config=PackageConfig(),
        run=adapted,
        project="shop",
        profile=None,
        out=tmp_path / "model",
    )
    assert model.parameters == adapted.metrics["parameters"]
    assert not any("adapter" in file.path for file in model.files)
    assert is_adapter(shop.folder / "adapted" / "adapter")
    taken = import_adapter(
        shop.folder / "adapted" / "adapter",
        project="shop",
        out=tmp_path / "adapter",
        engine=DEFAULT,
        base=lambda name: shop.folder / name,
    )
    assert taken.architecture == "llama" and [file.path for file in taken.files] == [ADAPTER]


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), "q_proj"])
def test_only_named_layers_are_trained_where_some_are_named(shop, targets):
    few = msgspec.structs.replace(ADAPTED, steps=2, lora=LoraConfig(rank=2, targets=targets))
    run = shop.train(few, "few")
    adapter = load_file(shop.folder / "few" / "adapter" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in adapter} == ({targets} if isinstance(targets, str) else set(targets))
    assert run.metrics["parameters_trained"] == sum(weight.numel() for weight in adapter.values())


@pytest.mark.parametrize("name", ["c_attn", "lm_head", "norm", "embed_tokens", ".*"])
def test_a_layer_that_cannot_have_an_adapter_is_refused_with_those_that_can(shop, name):
    with pytest.raises(InputError, match="no linear layer of the model is called") as raised:
        shop.train(msgspec.structs.replace(ADAPTED, lora=LoraConfig(targets=("q_proj", name))), "refused")
    assert f"names {name}" in str(raised.value) and "down_proj, gate_proj, k_proj" in (raised.value.cure or "")
    assert not (shop.folder / "refused").exists()


def test_settings_of_adapters_are_no_part_of_another_recipe():
    from flyball.training.conversations import Head

    one, two = (msgspec.structs.replace(RECIPE, lora=LoraConfig(rank=rank)) for rank in (4, 8))
    assert recipe_of(one, Head()) == recipe_of(two, Head())
    assert recipe_of(ADAPTED, Head())["lora"]["rank"] == 4
