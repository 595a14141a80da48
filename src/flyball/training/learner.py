"""What is trained and on what: a tokenizer, a model, and how rows become requests and answers in its chat template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from torch import Tensor, nn

from flyball.errors import CorruptionError, FlyballError, InputError
from flyball.inference.model_folders import ModelFolder, read_json, read_model_folder, token_text
from flyball.inference.preparation.control_tokens import neutraliser, of_tokenizer
from flyball.inference.templates import CHAT_TEMPLATE, END, PADDING, SPECIAL_TOKENS
from flyball.training import llama, lora, model_writer
from flyball.training.config import SizeConfig, TrainConfig
from flyball.training.conversations import Head, Renderer, chat_format
from flyball.training.examples import Encode, LabelledText, Render
from flyball.training.text_lengths import context_for, lengths_of, room_for
from flyball.training.tokenizer import token_of, tokenizer_config, train_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A model about to be trained: `save` writes it as a Hugging Face folder; `render` makes examples of rows.

    `text` splits a plain text, with the tokens that the tokenizer puts around one and the one that ends it.

    Ids from `first_word` on stand for text, those before it are markers; None where they are not apart.
    """

    model: nn.Module
    context: int
    first_word: int | None
    render: Render
    text: Encode
    save: Callable[[Path], None]


def from_scratch(config: TrainConfig, rows: Sequence[LabelledText], labels: Sequence[str], head: Head) -> Learner:
    """A fresh tokenizer and a fresh Llama, asked behind `head`; with `labels`, each is one token."""
    size = config.size
    require_shape(size)
    learned = [] if labels else [row.label or "" for row in rows]
    tokenizer = train_tokenizer([row.text for row in rows] + learned, vocabulary=size.vocabulary, labels=labels)
    vocabulary, ids = tokenizer.get_vocab_size(), tokenizer.get_vocab()
    end = ids[END]
    answers = {label: [ids[token_of(label)], end] for label in labels}
    encode, harmless = encoder(tokenizer), neutraliser(SPECIAL_TOKENS)
    renderer = Renderer(
        chat_format(CHAT_TEMPLATE, {"eos_token": END}, SPECIAL_TOKENS),
        encode=encode,
        harmless=harmless,
        head=head,
        answers=answers.get,
    )
    context = size.context or context_for(lengths_of(rows, renderer))
    size = msgspec.structs.replace(size, context=size.context or room_for(context))
    model = llama.Llama(size, vocabulary=vocabulary, dropout=config.dropout)
    shape = llama.hugging_face_config(size, vocabulary=vocabulary, end=end, padding=ids[PADDING])

    def save(folder: Path) -> None:
        model_writer.save_weights(folder, model)
        model_writer.save_json(folder / "config.json", shape)
        model_writer.save_json(folder / "generation_config.json", {"eos_token_id": end, "do_sample": False})
        model_writer.save_json(folder / "tokenizer_config.json", tokenizer_config(context=size.context or context))
        tokenizer.save(str(folder / "tokenizer.json"))

    return Learner(
        model=model,
        context=context,
        first_word=len(SPECIAL_TOKENS),
        render=renderer,
        text=lambda text: [*encode(harmless(text)), end],
        save=save,
    )


def from_base(base: Path, config: TrainConfig, rows: Sequence[LabelledText], head: Head) -> Learner:
    """The model in a Hugging Face folder with its own tokenizer and chat template, asked behind `head`.

    All weights are trained, or with method lora adapters beside them. An answer that is one entry of its vocabulary
    (each label of a model trained from scratch is) is learned as that.
    """
    form = _form_of(base, head)
    loaded = load_base(base, config)
    if form.tokenizer.get_vocab_size() > loaded.config.vocab_size:
        raise InputError(
            f"the tokenizer has {form.tokenizer.get_vocab_size()} entries, the model {loaded.config.vocab_size} rows",
            cure="use the tokenizer that belongs to the model",
        )
    merge = lora.add_adapters(loaded, config.lora, base=str(config.base)) if config.method == "lora" else None
    context = config.size.context or context_for(lengths_of(rows, form.renderer))

    def save(out: Path) -> None:
        if merge:
            merge(out)
        model_writer.save_finetuned(out, loaded, base)

    return Learner(
        model=HeadWhereLearned(loaded),
        context=min(context, loaded.config.max_position_embeddings),
        first_word=None,
        render=form.renderer,
        text=form.text,
        save=save,
    )


def from_teacher(teacher: Path, config: TrainConfig, rows: Sequence[LabelledText], head: Head) -> Learner:
    """A fresh Llama with the vocabulary and the chat template of the model in `teacher`, whose student it is."""
    form = _form_of(teacher, head)
    vocabulary, longest = (int(form.folder.config[key]) for key in ("vocab_size", "max_position_embeddings"))
    context = min(config.size.context or context_for(lengths_of(rows, form.renderer)), longest)
    size = msgspec.structs.replace(config.size, context=min(config.size.context or room_for(context), longest))
    require_shape(size)
    model = llama.Llama(size, vocabulary=vocabulary, dropout=config.dropout)
    ends = {name: form.folder.config.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}

    def save(out: Path) -> None:
        shape = llama.hugging_face_config(size, vocabulary=vocabulary, end=0, padding=0)
        model_writer.save_weights(out, model)
        model_writer.save_json(out / "config.json", {**shape, **ends})
        model_writer.carry_tokenizer(out, teacher)

    ids = form.tokenizer.get_vocab()
    markers = {ids[token] for token in form.special}
    return Learner(
        model=model,
        context=context,
        first_word=len(markers) if markers == set(range(len(markers))) else None,
        render=form.renderer,
        text=form.text,
        save=save,
    )


def require_shape(size: SizeConfig) -> None:
    """InputError for sizes of layers that do not go together."""
    if size.hidden % size.heads or size.heads % size.kv_heads or (size.hidden // size.heads) % 2:
        raise InputError(
            f"hidden {size.hidden}, heads {size.heads} and kv_heads {size.kv_heads} do not go together",
            cure="make hidden a multiple of 2 × heads, and heads a multiple of kv_heads",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How a model in a folder is asked: its tokenizer, the texts of its markers, and rows in its chat template."""

    folder: ModelFolder
    tokenizer: Tokenizer
    special: Sequence[str]
    renderer: Renderer
    text: Encode


def _form_of(base: Path, head: Head) -> _Form:
    from tokenizers import Tokenizer  # in the `train` extra only

    folder = read_model_folder(base)
    if not folder.chat_template:
        raise InputError(f"{base} has no chat template", cure="add chat_template.jinja to the folder")
    try:
        tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    except Exception as error:
        raise CorruptionError(f"{base}/tokenizer.json cannot be read: {error}", cure="copy the model again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokens = {name: token_text(folder.tokenizer.get(name)) for name in ("bos_token", "eos_token", "pad_token")}
    document, ids = read_json(base / "tokenizer.json"), tokenizer.get_vocab()
    special = [str(entry.get("content")) for entry in document.get("added_tokens") or () if entry.get("special")]
    form, encode = chat_format(folder.chat_template, tokens, special), encoder(tokenizer)

    def answers(answer: str) -> list[int] | None:
        token = token_of(answer)
        return [ids[token], *encode(form.ending)] if token in ids else None

    harmless = neutraliser(of_tokenizer(document, folder.tokenizer, folder.chat_template))
    end = encode(tokens["eos_token"])

    def text(plain: str) -> list[int]:
        found = list(tokenizer.encode(harmless(plain)).ids)
        return found if found[-len(end) :] == end else [*found, *end]

    renderer = Renderer(
        form,
        encode=encode,
        harmless=harmless,
        head=head,
        answers=answers,
    )
    return _Form(folder=folder, tokenizer=tokenizer, special=special, renderer=renderer, text=text)


def load_base(base: Path, config: TrainConfig) -> Any:
    """The transformers model in `base`; CorruptionError or InputError when it does not load whole."""
    import torch
    from transformers import AutoModelForCausalLM  # 4 s, and only a base needs it
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        loaded, notes = AutoModelForCausalLM.from_pretrained(
            base,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            attention_dropout=0.0 if config.method == "lora" else config.dropout,
            output_loading_info=True,
        )
    except FlyballError:
        raise
    except Exception as error:
        raise CorruptionError(f"the model in {base} does not load: {error}", cure="copy the model again") from error
    if missing := sorted(notes["missing_keys"]):
        raise CorruptionError(
            f"the weights in {base} lack {len(missing)} tensors such as {missing[0]}", cure="copy the model again"
        )
    return loaded


class HeadWhereLearned(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """A transformers causal model whose head runs at chosen positions only."""

    def __init__(self, loaded: Any) -> None:
        super().__init__()
        self.loaded = loaded

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """(batch, width) ids padded on the right, flat positions (n) → (n, vocabulary) logits."""
        body = getattr(self.loaded, self.loaded.base_model_prefix)
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        return self.loaded.get_output_embeddings()(hidden.flatten(0, 1)[positions])


def encoder(tokenizer: Tokenizer) -> Encode:
    """Text → ids; markers in the text count as markers, nothing is added."""
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)
