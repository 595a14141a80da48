"""The control tokens of a packaged model, which no text may form. I/O: reads its tokenizer files, or its GGUF file."""

from __future__ import annotations

from pathlib import Path

from flyball.inference.model_folders import read_json
from flyball.inference.preparation.control_tokens import of_tokenizer, of_vocabulary
from flyball.registry.gguf.header import read_arrays

_TOKENS, _TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"


def control_tokens(folder: Path, chat_template: str) -> tuple[str, ...]:
    """Those of the model in `folder`; of one whose files are elsewhere, what its chat template writes around turns."""
    if (folder / "tokenizer.json").is_file():
        settings = folder / "tokenizer_config.json"
        return of_tokenizer(
            read_json(folder / "tokenizer.json"), read_json(settings) if settings.is_file() else {}, chat_template
        )
    for path in sorted(folder.glob("*.gguf")):
        arrays = read_arrays(path, (_TOKENS, _TYPES))
        if _TOKENS in arrays:
            tokens, types = ([*map(str, arrays[_TOKENS])], [int(kind) for kind in arrays.get(_TYPES, ())])
            return of_vocabulary(tokens, types, chat_template)
    return of_vocabulary((), (), chat_template)
