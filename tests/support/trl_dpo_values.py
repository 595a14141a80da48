"""A tiny model, its reference and pairs, the same everywhere; what TRL's DPOTrainer makes of them is stored beside.

To compute the values again: an environment with torch, transformers, trl and datasets of the versions in the JSON, then
`python tests/support/trl_dpo_values.py`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

TRL = "1.16.0"
VALUES = Path(__file__).with_suffix(".json")
BETA, REFERENCE = 0.3, 0.5
PAIRS = (
    ((3, 9, 27, 4), (12, 36, 1), (40, 5, 16, 48, 1)),
    ((7, 21), (14, 42, 30, 25, 11, 1), (33, 1)),
    ((5, 15, 45, 10, 31, 2), (6, 1), (18, 54, 1)),
)
"""Token ids of requests, chosen and rejected answers."""


def tiny_model(*, turn: float) -> Any:
    """A Llama of two layers whose weights are sines: no generator of random numbers, so the same in each version."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    model = LlamaForCausalLM(
        LlamaConfig(**shape, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32)
    )
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            places = torch.arange(weight.numel(), dtype=torch.float64).view(weight.shape)
            waves = torch.sin(places * 1.7 + number + turn)
            weight.copy_(1 + 0.1 * waves if weight.ndim < 2 else 0.25 * waves)
    return model


def projected(gradient: torch.Tensor) -> tuple[float, float]:
    """Two numbers of a gradient: its length, and its product with a wave."""
    wave = torch.cos(torch.arange(gradient.numel(), dtype=torch.float64) * 0.37)
    flat = gradient.double().flatten()
    return flat.norm().item(), (flat @ wave).item()


def trl_values() -> dict[str, Any]:
    """Loss, margin, accuracy and gradients of one batch by TRL."""
    import trl
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"t{number}": number for number in range(64)}, unk_token="t0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model, reference = tiny_model(turn=0.0), tiny_model(turn=REFERENCE)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl.DPOTrainer(
            model=model,
            ref_model=reference,
            args=trl.DPOConfig(
                output_dir=folder, beta=BETA, bf16=False, gradient_checkpointing=False, use_cpu=True, report_to="none"
            ),
            train_dataset=Dataset.from_list([{"prompt": "t1", "chosen": "t2", "rejected": "t3"}]),
            processing_class=PreTrainedTokenizerFast(tokenizer_object=words, eos_token="t1", pad_token="t0"),
        )
        batch = trainer.data_collator(
            [
                {"prompt_ids": list(asked), "chosen_ids": list(chosen), "rejected_ids": list(rejected)}
                for asked, chosen, rejected in PAIRS
            ]
        )
        model.train()
        loss = trainer.compute_loss(model, batch)
        loss.backward()
        logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return {
        "trl": trl.__version__,
        "torch": torch.__version__,
        "loss": loss.item(),
        "reward_margin": logged["rewards/margins"],
        "preference_accuracy": logged["rewards/accuracies"],
        "gradients": {name: projected(weight.grad) for name, weight in model.named_parameters()},
    }


if __name__ == "__main__":
    VALUES.write_text(json.dumps(trl_values(), indent=1) + "\n")
