"""A `train.command`: LoRA with PEFT and transformers' Trainer, merged into its base. I/O: reads and writes folders.

Its environment: torch, transformers, accelerate, peft, pyarrow. In flyball.yaml:

    train: {method: command, command: "/opt/peft/bin/python peft_lora.py --base /models/SmolLM2-135M-Instruct"}
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="a Hugging Face folder with a chat template")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--context", type=int, default=512, help="longer rows are left out, and counted")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def example(tokenizer: Any, row: dict[str, Any]) -> dict[str, list[int]]:
    """One row as token ids, of which those of its answer are learned."""
    asked = json.loads(row["turns"]) if row.get("turns") else [{"role": "user", "content": row["text"]}]
    whole = [*asked, {"role": "assistant", "content": row["label"]}]
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(whole, tokenize=False)
    if not text.startswith(prompt):
        raise SystemExit("the chat template writes an answer elsewhere than behind its prompt: choose another base")
    head = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(text[len(prompt) :], add_special_tokens=False)["input_ids"]
    return {"input_ids": head + answer, "labels": [-100] * len(head) + answer}


def collate(examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """A batch, padded on the right."""
    longest = max(len(one["input_ids"]) for one in examples)

    def padded(values: list[list[int]], filler: int) -> torch.Tensor:
        return torch.tensor([one + [filler] * (longest - len(one)) for one in values])

    ids = [one["input_ids"] for one in examples]
    mask = padded([[1] * len(one) for one in ids], 0)
    return {
        "input_ids": padded(ids, 0),
        "attention_mask": mask,
        "labels": padded([o["labels"] for o in examples], -100),
    }


def main() -> None:
    """Train, merge, save."""
    given = arguments()
    set_seed(given.seed)
    tokenizer = AutoTokenizer.from_pretrained(given.base)
    model = AutoModelForCausalLM.from_pretrained(given.base, dtype=torch.float32)
    rows = pyarrow.parquet.read_table(Path(os.environ["FLYBALL_DATASET"]) / "train.parquet").to_pylist()
    made = [example(tokenizer, row) for row in rows if row["label"]]
    kept = [one for one in made if len(one["input_ids"]) <= given.context]
    print(f"{len(kept)} rows, {len(made) - len(kept)} left out as longer than {given.context} tokens")
    if not kept:
        raise SystemExit("no row is left to learn from")
    lora = LoraConfig(r=given.rank, lora_alpha=2 * given.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = Trainer(
        model=get_peft_model(model, lora),
        args=TrainingArguments(
            output_dir=str(Path(os.environ["FLYBALL_OUTPUT"]).parent / "trainer"),
            max_steps=given.steps,
            per_device_train_batch_size=given.batch,
            learning_rate=given.learning_rate,
            seed=given.seed,
            save_strategy="no",
            report_to="none",
            remove_unused_columns=False,
            use_cpu=not torch.cuda.is_available(),
        ),
        train_dataset=kept,
        data_collator=collate,
    )
    trainer.train()
    trainer.model.merge_and_unload().save_pretrained(os.environ["FLYBALL_OUTPUT"])
    for name in TOKENIZER:  # as they are: transformers writes a tokenizer anew, and not always the same one
        if (Path(given.base) / name).is_file():
            shutil.copyfile(Path(given.base) / name, Path(os.environ["FLYBALL_OUTPUT"]) / name)


if __name__ == "__main__":
    main()
