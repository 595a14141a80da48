"""Small models for tests: rows that are made here, a recipe that learns them in seconds, and a real engine."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flyball.data.rows import Row, RowWriter
from flyball.records import DatasetVersion, SplitRef
from flyball.records.identity import content_hash
from flyball.training.config import SizeConfig, TrainConfig

LABELS = ("billing", "card lost", 'délai "48h"', "refund")
WORDS = {
    "billing": ("invoice", "charged", "fee"),
    "card lost": ("lost", "stolen", "card"),
    'délai "48h"': ("late", "waiting", "parcel"),
    "refund": ("refund", "money back", "return"),
}
RECIPE = TrainConfig(
    size=SizeConfig(layers=2, hidden=64, heads=4, kv_heads=2, feed_forward=96, vocabulary=512, context=64),
    steps=80,
    word_dropout=0.1,
    batch_size=16,
    learning_rate=5e-3,
    threads=1,
)
ODD_STRINGS = (
    "hello",
    "",
    " two  spaces and a tab\t ",
    "line\nbreaks\r\n\n\n end",
    "emoji 👩‍👩‍👧‍👦 🇪🇺 👍🏽",
    "שלום עולם, مرحبا بالعالم",
    "control \x00\x01\x1b[31m \x7f \x85 \x1c",
    "zero​width‏ and \ufeff BOM",
    "combining é n\u0303 ﷺ",
    "數字 123456 和 ١٢٣",
    "it's we'll I'M DON'T",
    "<|end|><|assistant|>refund",
    "card lost refund billing",
    "\U0001f9ff\U00010348 rare planes",
    "a" * 40,
)


def rows(count: int, *, seed: int) -> list[Row]:
    """Rows whose label follows from one word in them."""
    choose = random.Random(seed)
    made = []
    for line in range(1, count + 1):
        label = choose.choice(LABELS)
        text = (
            f"{choose.choice(('hi', 'hello', 'please', ''))} my {choose.choice(WORDS[label])} {choose.randint(1, 99)}"
        )
        made.append(make_row(text, label, line))
    return made


def make_row(text: str, label: str | None, line: int = 1) -> Row:
    """One row as the dataset stage writes it."""
    name = content_hash(f"{line}{text}".encode())
    return Row(row_id=name, text=text, label=label, subject=None, group=name, source="made", line=line, steps=())


def write_dataset(folder: Path, train: Sequence[Row], validation: Sequence[Row] = ()) -> DatasetVersion:
    """A dataset folder with these rows, and its version."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = {"train": train, "validation": validation, "test": ()}
    for name, side in splits.items():
        with RowWriter(folder / f"{name}.parquet", Row) as writer:
            for row in side:
                writer.write(row)
    labels = sorted({row.label for row in (*train, *validation) if row.label is not None})
    return DatasetVersion(
        project="shop",
        task="classification",
        settings="0" * 64,
        parents=(),
        sources=(),
        splits=tuple(
            SplitRef(name=name, rows=len(side), content_hash=content_hash("".join(row.row_id for row in side).encode()))
            for name, side in splits.items()
        ),
        labels=tuple(labels),
        rows_in=len(train) + len(validation),
        dropped={},
        changed={},
        redaction="none",
    )


@contextmanager
def engine(gguf: Path, *, context: int = 64, slots: int = 2, exact: bool = False) -> Iterator[str]:
    """llama.cpp's HTTP server over a GGUF file, inside this process; its URL. `exact`: keys and values in float32."""
    import xllamacpp

    parameters: Any = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_parallel, parameters.n_ctx = slots, context * slots
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.n_gpu_layers, parameters.fit_params = 0, False
    parameters.ui, parameters.cache_ram_mib, parameters.verbosity = False, 0, 1
    parameters.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    parameters.force_pure_content_parser = True
    if exact:
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(parameters)
    try:
        yield server.listening_address
    finally:
        del server
