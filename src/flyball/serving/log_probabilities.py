"""What llama.cpp thinks of the next token at each place of a text. I/O: loads a GGUF file into this process.

Each place is asked with the tokens before it given, so that one difference does not lead to others. Keys and values are
kept in 32 bits, and attention is not the flash kind, which takes queries in 16: what then differs from another engine
is the weights and the order of sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xllamacpp

from flyball.errors import UpstreamError

LIKELIEST = 10


def log_probabilities(model: Path, tokens: Sequence[int], *, adapter: Path | None = None) -> list[Mapping[int, float]]:
    """For each place after the first token: the likeliest next tokens with the logarithm of their probability.

    The first token has to be a whole character.
    """
    try:
        parameters = _parameters(model, len(tokens))
        if adapter:
            lora: Any = xllamacpp.CommonAdapterLoraInfo()
            lora.path, lora.scale = str(adapter), 1.0
            parameters.lora_adapters = [lora]
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise UpstreamError(f"llama.cpp does not load {model}: {error}", cure="use a model that it knows") from error
    return [_next(server, tokens[:count]) for count in range(1, len(tokens) + 1)]


def _next(server: Any, before: Sequence[int]) -> Mapping[int, float]:
    # llama.cpp gives no probabilities for half a character: a whole one is said; they are from before that bias
    said = {"logit_bias": [[before[0], 1000.0]], "temperature": 0}
    asked = {"prompt": list(before), "n_predict": 1, "n_probs": LIKELIEST, "cache_prompt": True, "stream": False}
    answer = server.handle_completions({**asked, **said})
    try:
        found = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return {int(one["id"]): float(one["logprob"]) for one in found}
    except (LookupError, TypeError) as error:
        raise UpstreamError(f"llama.cpp gave no probabilities: {str(answer)[:200]}", cure="see above") from error


def _parameters(model: Path, tokens: int) -> Any:
    parameters: Any = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_parallel, parameters.n_ctx = 1, tokens + 8
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads, threads.poll = 1, 0
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_gpu_layers = 0
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.ui, parameters.offline, parameters.fit_params, parameters.warmup = False, True, False, False
    parameters.cache_ram_mib = parameters.n_ctx_checkpoints = 0
    parameters.verbosity = 1
    return parameters
