"""A trained folder as an MLflow model of the transformers flavour, so that `load_model` finds it. I/O: writes files.

The layout is MLflow's own (mlflow.transformers.save_model): weights under `model`, the tokenizer under `components`,
and MLmodel, which says so. A folder that is no transformers model is left as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WEIGHTS = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json")
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("merges.txt", "chat_template.jinja"),
)


def write_mlflow_model(trained: Path, out: Path, *, run_id: str) -> None:
    """`out` as what MLflow loads of the folder `trained`; files are linked where they can be."""
    if not (trained / "config.json").is_file() or not (trained / "tokenizer.json").is_file():
        shutil.copytree(trained, out, copy_function=link, dirs_exist_ok=True)
        return
    for patterns, folder in ((WEIGHTS, out / "model"), (TOKENIZER, out / "components" / "tokenizer")):
        folder.mkdir(parents=True)
        for path in sorted({path for pattern in patterns for path in trained.glob(pattern)}):
            link(str(path), str(folder / path.name))
    document = json.dumps(flavour(trained, run_id), indent=1)  # JSON is YAML too
    (out / "MLmodel").write_text(document + "\n", encoding="utf-8")


def link(source: str, target: str) -> None:
    """A second name of a file, or a copy where the disk has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def flavour(trained: Path, run_id: str) -> dict[str, Any]:
    """What MLmodel says of a causal language model and its tokenizer."""
    import mlflow  # heavy, and wanted only while training
    import transformers

    config = json.loads((trained / "config.json").read_text(encoding="utf-8"))
    tokenizer = trained / "tokenizer_config.json"
    declared = json.loads(tokenizer.read_text(encoding="utf-8")) if tokenizer.is_file() else {}
    return {
        "artifact_path": "model",
        "flavors": {
            "transformers": {
                "code": None,
                "components": ["tokenizer"],
                "instance_type": "TextGenerationPipeline",
                "model_binary": "model",
                "pipeline_model_type": next(iter(config.get("architectures") or ["LlamaForCausalLM"])),
                "source_model_name": "flyball",
                "task": "text-generation",
                "tokenizer_type": declared.get("tokenizer_class", "PreTrainedTokenizerFast"),
                "transformers_version": transformers.__version__,
            }
        },
        "mlflow_version": mlflow.__version__,
        "run_id": run_id,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
