"""DPO: loss and gradients are those of TRL; all weights or adapters learn what was preferred; the rest is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from flyball.data.rows import Row
from flyball.errors import InputError
from flyball.records import DatasetVersion, TrainingRun, canonical_bytes, parse
from flyball.telemetry import quiet
from flyball.training.checkpoints import Checkpoints
from flyball.training.config import DpoConfig, LoraConfig, TrainConfig
from flyball.training.conversations import Head
from flyball.training.examples import Example
from flyball.training.learner import HeadWhereLearned, Learner
from flyball.training.lora import add_adapters
from flyball.training.objectives.dpo import Dpo, Pair
from flyball.training.training_loop import _backward
from flyball.training.training_run import recipe_of, train
from small_models import RECIPE, make_row, write_dataset
from trl_dpo_values import BETA, PAIRS, REFERENCE, VALUES, projected, tiny_model

POLITE, RUDE = "gladly, it is done", "go away and ask no more"
TUNED = msgspec.structs.replace(
    RECIPE, method="finetune", objective="dpo", base="base", steps=20, learning_rate=1e-3, batch_size=8
)
ADAPTED = msgspec.structs.replace(TUNED, method="lora", learning_rate=3e-3, lora=LoraConfig(rank=4))


def objective_of(model: torch.nn.Module, config: TrainConfig) -> Dpo:
    def unused(*_: object) -> None:
        raise AssertionError("nothing is rendered or saved")

    return Dpo(config, Learner(model=model, context=32, first_word=None, render=unused, text=unused, save=unused))  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [None, 1, 2])
def test_loss_margin_and_gradients_are_those_of_trl(rows: int | None) -> None:
    """Within 1e-5 of each number, in 32 bits, in one part or several."""
    expected = json.loads(VALUES.read_text())
    config = msgspec.structs.replace(TUNED, dpo=DpoConfig(beta=BETA), micro_batch=rows)
    reference = objective_of(HeadWhereLearned(tiny_model(turn=REFERENCE)), config)
    loaded = tiny_model(turn=0.0)
    objective = objective_of(HeadWhereLearned(loaded), config)
    pairs = [
        Pair(
            chosen=Example((*asked, *chosen), ((len(asked), len(asked) + len(chosen)),)),
            rejected=Example((*asked, *rejected), ((len(asked), len(asked) + len(rejected)),)),
        )
        for asked, chosen, rejected in PAIRS
    ]
    pairs = list(reference.before(pairs, "train", keep=lambda _name, compute: compute(), progress=quiet))
    value, measured = _backward(objective, pairs)
    assert value == pytest.approx(expected["loss"], rel=1e-5)
    assert measured["reward_margin"] == pytest.approx(expected["reward_margin"], rel=1e-5)
    assert measured["preference_accuracy"] == pytest.approx(expected["preference_accuracy"], rel=1e-5)
    gradients = dict(loaded.named_parameters())
    assert set(gradients) == set(expected["gradients"])
    for name, (length, product) in expected["gradients"].items():
        found = projected(gradients[name].grad)
        assert found == pytest.approx((length, product), rel=1e-5, abs=1e-5 * length), name


def pair(line: int, *, rejected: str | None = RUDE) -> Row:
    return replace(make_row(f"please help me with thing {line}", POLITE, line), rejected=rejected)


class Shop:
    """Pairs, and a base that is as likely to say the one as the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        both = [make_row(f"please help me with thing {n}", answer, n) for n in range(40) for answer in (POLITE, RUDE)]
        self.both = write_dataset(folder / "both", both)
        self.pairs = write_dataset(folder / "pairs", [pair(n) for n in range(40)], [pair(n) for n in range(50, 62)])
        self.train(msgspec.structs.replace(RECIPE, steps=40), "base", self.both, "both")

    def train(
        self, config: TrainConfig, out: str, dataset: DatasetVersion, rows: str, checkpoints: Path | None = None
    ) -> TrainingRun:
        return train(
            config,
            project="shop",
            task="chat",
            dataset=dataset,
            dataset_dir=self.folder / rows,
            base_dir=self.folder / "base" if config.base else None,
            out=self.folder / out,
            tracking_uri=f"sqlite:///{self.folder}/mlflow.db",
            progress=quiet,
            checkpoints_dir=checkpoints,
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("dpo"))


@pytest.mark.parametrize("config", [TUNED, ADAPTED], ids=["finetune", "lora"])
def test_what_was_preferred_becomes_likelier_on_held_out_pairs_too(shop: Shop, config: TrainConfig) -> None:
    run = shop.train(config, config.method, shop.pairs, "pairs")
    assert run.metrics["validation_preference_accuracy"] == 1.0 and run.metrics["validation_chosen_likelier"] == 1.0
    assert run.metrics["validation_reward_margin"] > 0.5 and run.metrics["validation_loss"] < 0.6
    assert run.metrics["rows"] == 40 and run.metrics["rows_without_rejected"] == 0
    assert run.recipe["objective"] == "dpo" and run.recipe["dpo"] == {"beta": 0.1}
    assert parse(canonical_bytes(run), TrainingRun) == run
    first, *_, last = json.loads((shop.folder / config.method / "curve.json").read_text())
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3), "both are as likely as under the reference: log 2"
    assert first["reward_margin"] == pytest.approx(0, abs=1e-3) and last["reward_margin"] > 0.5
    assert last["preference_accuracy"] == 1.0
    again = shop.train(config, "again", shop.pairs, "pairs")
    assert again == run


def test_the_reference_of_adapters_is_the_base_without_them_and_is_computed_once(shop: Shop, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    kept = Checkpoints(tmp_path, "x", every_s=1e9)
    shop.train(ADAPTED, "lora", shop.pairs, "pairs")
    base = AutoModelForCausalLM.from_pretrained(shop.folder / "base")
    beside = PeftModel.from_pretrained(base, shop.folder / "lora" / "adapter").eval()
    items = [Pair(chosen=Example((5, 6, 7, 8), ((2, 4),)), rejected=Example((5, 6, 9), ((2, 3),)))]
    fresh = AutoModelForCausalLM.from_pretrained(shop.folder / "base")
    add_adapters(fresh, ADAPTED.lora, base="base")
    (expected,) = objective_of(HeadWhereLearned(fresh), ADAPTED).before(items, "train", keep=kept.keep, progress=quiet)
    with beside.disable_adapter():
        off = objective_of(HeadWhereLearned(base), ADAPTED).log_probabilities_of(HeadWhereLearned(base), items)
    assert expected.reference == pytest.approx(off[0].tolist(), abs=1e-6)

    def never() -> dict[str, torch.Tensor]:
        raise AssertionError("it was kept")

    again = Checkpoints(tmp_path, "x", every_s=1e9).keep("reference-train", never)
    assert again["pairs"][0].tolist() == list(expected.reference)


def test_rows_without_a_rejected_answer_are_counted_and_all_of_them_are_refused(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    some = write_dataset(shop.folder / "some", [pair(n, rejected=RUDE if n % 4 else None) for n in range(40)])
    caplog.set_level("WARNING", logger="flyball")
    run = shop.train(msgspec.structs.replace(TUNED, steps=1), "some-out", some, "some")
    assert (run.metrics["rows"], run.metrics["rows_without_rejected"]) == (30, 10)
    assert "10 training rows have no rejected answer and are left out" in caplog.text
    none = write_dataset(shop.folder / "none", [pair(n, rejected=None) for n in range(25)])
    with pytest.raises(InputError, match="none of the 25 training rows has a rejected answer") as raised:
        shop.train(TUNED, "none-out", none, "none")
    assert "fields.rejected" in (raised.value.cure or "")
    few = write_dataset(shop.folder / "few", [pair(n) for n in range(3)])
    with pytest.raises(InputError, match="3 training rows are fewer than one batch of 8"):
        shop.train(TUNED, "few-out", few, "few")


def test_beta_names_a_recipe_of_dpo_only() -> None:
    one, two = (msgspec.structs.replace(TUNED, dpo=DpoConfig(beta=beta)) for beta in (0.1, 0.2))
    assert recipe_of(one, Head()) != recipe_of(two, Head())
    one, two = (msgspec.structs.replace(one, objective="supervised") for one in (one, two))
    assert recipe_of(one, Head()) == recipe_of(two, Head())
