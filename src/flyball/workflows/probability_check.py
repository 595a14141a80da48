"""Whether a packaged model gives the probabilities of the folder that it came from. I/O: loads both, writes a copy.

transformers reads the folder, llama.cpp the package, both the same 200 tokens. A package in 32 bits has to agree; one
of fewer bits is first packaged in 32, which has to agree, and then its own difference is kept beside its record.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from flyball.errors import CorruptionError
from flyball.inference.model_folders import read_model_folder
from flyball.records import JSON, ModelVersion
from flyball.registry.gguf.writer import write_gguf
from flyball.registry.packaging import GGUF
from flyball.telemetry import Progress

TOKENS = 200
MOST_NATS = 0.01
"""Between two engines in 32 bits, whose sums differ in their order; measured: below 0.0001 on small random models."""
_BYTES_PER_PARAMETER = 14
_SPARE_BYTES = 1_500_000_000
_TEXT = (
    "On Monday the ferry left at 07:45, twelve minutes late, with 238 people and one very patient dog on board. "
    "Nobody had told the captain that the harbour's café would stay shut; so he poured his own tea, read the "
    'forecast twice ("wind from the west, 5 to 6, easing later") and wrote in the log: all well. By noon the rain '
    "had stopped. Children counted gulls - 31, 32, 33 - while their parents compared maps, prices and the length of "
    "the queue. What would you have done? Some asked for their money back; others simply waited, because waiting "
    "costs nothing, and the sea is worth looking at. In the evening three of them sent a letter: thank you, it said, "
    "for the slowest crossing of our lives. def total(items): return sum(item.price * item.count for item in items)"
)


def agreement(folder: Path, packaged: Path, model: ModelVersion, progress: Progress) -> Mapping[str, JSON]:
    """What was compared and how far apart they are, in nats; `checked` is False, with why, where that was not possible.

    CorruptionError where the conversion changed the model.
    """
    why = _why_not(model)
    if why:
        return {"checked": False, "why": why}
    from flyball.serving.log_probabilities import log_probabilities  # llama.cpp loads with it

    progress("comparing with transformers", 0, 0)
    tokens = _tokens(folder, min(TOKENS, model.context_length - 2))
    expected = _expected(folder, tokens)
    exact = model.formats[0] == "gguf:f32"
    with TemporaryDirectory(dir=packaged.parent, prefix="agreement-") as scratch:
        gguf = packaged / GGUF
        if not exact:
            gguf = Path(scratch) / GGUF
            write_gguf(read_model_folder(folder), gguf, quantization="f32")
        in_32_bits = _differences(expected, log_probabilities(gguf, tokens))
    if max(in_32_bits) > MOST_NATS:
        raise CorruptionError(
            f"the packaged model is not the one in {folder}: its log-probabilities differ by up to "
            f"{max(in_32_bits):.3g} nats over {len(tokens)} tokens",
            cure="use another model, and report this one's config.json to the project",
        )
    own = in_32_bits if exact else _differences(expected, log_probabilities(packaged / GGUF, tokens))
    return {
        "checked": True,
        "tokens": len(tokens),
        "largest_nats_f32": round(max(in_32_bits), 6),
        "largest_nats": round(max(own), 6),
        "mean_nats": round(sum(own) / len(own), 6),
    }


def unchecked(why: str) -> Mapping[str, JSON]:
    """For a model that nothing was converted of."""
    return {"checked": False, "why": why}


def words(kept: object) -> str | None:
    """An agreement in a few words, for lists; None for a model that was trained here."""
    if not isinstance(kept, Mapping):
        return None
    if not kept.get("checked"):
        return f"not checked: {kept.get('why')}"
    return f"{kept['tokens']} tokens: {kept['mean_nats']:.2g} nats on average, {kept['largest_nats']:.2g} at most"


def _why_not(model: ModelVersion) -> str:
    if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
        return 'transformers is not installed (pip install "flyball[train]")'
    needed = model.parameters * _BYTES_PER_PARAMETER + _SPARE_BYTES
    free = min(psutil.virtual_memory().available, shutil.disk_usage(Path.cwd()).free)
    if needed > free:
        return f"it takes {needed / 1e9:.0f} GB of memory, {free / 1e9:.0f} GB are free"
    return ""


def _tokens(folder: Path, most: int) -> list[int]:
    from tokenizers import Tokenizer  # part of the train extra

    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(_TEXT, add_special_tokens=False).ids
    return list((ids * (most // max(1, len(ids)) + 1))[:most])


def _expected(folder: Path, tokens: Sequence[int]) -> Any:
    """transformers' log-probabilities, a row for each token and a column for each entry of the vocabulary."""
    import torch  # heavy, and needed here only
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    with torch.inference_mode():
        logits = model(torch.tensor([list(tokens)])).logits[0]
        return torch.log_softmax(logits.double(), dim=-1).numpy()


def _differences(expected: Any, found: Sequence[Mapping[int, float]]) -> list[float]:
    """The largest difference at each place, over the tokens that llama.cpp holds likeliest."""
    return [
        max(abs(float(row[token]) - value) for token, value in likeliest.items())
        for row, likeliest in zip(expected, found, strict=True)
    ]
