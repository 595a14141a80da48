"""How likely texts are to the model in a Hugging Face folder. I/O: loads the folder into this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flyball.errors import InputError
from flyball.inference.completions import Completion
from flyball.inference.likelihood import LIKELIHOOD, Likelihood, text_of


class FolderLikelihood:
    """A completer that only says how likely a text is; threads may share it, and it computes for one at a time."""

    def __init__(self, folder: Path) -> None:
        try:
            import torch  # heavy, and part of the train extra
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise InputError(f"{error.name} is not installed", cure='pip install "flyball[train]"') from error
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"transformers does not load {folder}: {error}", cure="give a folder of a causal model with safetensors"
            ) from error
        self._lock = threading.Lock()

    def complete(self, body: Mapping[str, Any], /) -> Completion:
        """The likelihood of the body's text as JSON; InputError for any other body, and for a text that is too long."""
        if LIKELIHOOD not in body:
            raise InputError("a folder answers no questions", cure="give suites of texts or crows_pairs, or a server")
        began = time.perf_counter()
        with self._lock:
            found = self._likelihood(text_of(body))
        total_ms = (time.perf_counter() - began) * 1000
        return Completion(
            text=msgspec.json.encode(found).decode(),
            prompt_tokens=0,
            completion_tokens=0,
            finish_reason="stop",
            total_ms=total_ms,
        )

    def _likelihood(self, text: str) -> Likelihood:
        import torch  # loaded by now

        encoded = self._tokenizer(text, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        most = getattr(self._model.config, "max_position_embeddings", None)
        if len(ids) < 2:
            raise InputError("a text of one token has no likelihood", cure="leave it out, or join it with the next")
        if most is not None and len(ids) > most:
            raise InputError(f"a text has {len(ids)} tokens, the model takes {most}", cure="cut it into parts")
        with torch.inference_mode():
            logits = self._model(torch.tensor([ids])).logits[0, :-1].float()
            nats = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum")
        return Likelihood(nats=float(nats), tokens=len(ids) - 1, bytes=len(text[offsets[1][0] :].encode()))
