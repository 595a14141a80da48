"""A classifier's folder: header.json for people and programs, weights.safetensors. I/O: reads and writes the folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flyball.errors import CorruptionError, InputError, NotFoundError
from flyball.inference.classifiers.catalog import KINDS, Scorer
from flyball.inference.classifiers.header import Header
from flyball.inference.classifiers.weights_file import packed, unpacked
from flyball.whole_files import replace_file

HEADER, WEIGHTS = "header.json", "weights.safetensors"
PARENT: Final = "classifiers"
"""The folder of a project that has them, each under its name."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifier:
    """What a folder holds: `score` gives probabilities, `digest` is that of the header, which names the weights'."""

    header: Header
    score: Scorer
    digest: str

    def positives(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text reaches the threshold."""
        return [probability >= self.header.threshold for probability in self.score(texts)]


def classifier_folder(root: Path, name: str) -> Path:
    """Where a project keeps the classifier of this name; InputError for what is no name."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name of a classifier", cure="use letters, digits, - and _, such as toxicity (64 at most)"
        )
    return root / PARENT / name


def load_classifier(folder: Path) -> Classifier:
    """The classifier in a folder; NotFoundError where there is none, CorruptionError where it is damaged."""
    header_file, weights_file = folder / HEADER, folder / WEIGHTS
    try:
        text, weights = header_file.read_bytes(), weights_file.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"no classifier in {folder}: {error.strerror or error}",
            cure=f"flyball classifier train {folder.name} --data FILE",
        ) from error
    try:
        header = msgspec.json.decode(text, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptionError(f"{header_file} is no header of a classifier: {error}", cure="train it again") from error
    if header.kind not in KINDS:
        raise InputError(
            f"{header_file} is of kind {header.kind!r}, not one of {', '.join(KINDS)}", cure="use a newer Flyball"
        )
    if hashlib.sha256(weights).hexdigest() != header.weights_sha256:
        raise CorruptionError(f"{weights_file} is not the file that {HEADER} names", cure="copy or train it again")
    numbers = unpacked(weights, 1 << header.features.bits, where=str(weights_file))
    scorer = KINDS[header.kind](header.features, numbers)
    return Classifier(header=header, score=scorer, digest=hashlib.sha256(text).hexdigest())


def packed_weights(weights: array[int]) -> tuple[bytes, str]:
    """The weights' file and its SHA-256, for the header."""
    data = packed(weights)
    return data, hashlib.sha256(data).hexdigest()


def write_classifier(folder: Path, header: Header, weights: bytes) -> None:
    """Put a classifier in `folder`, in the place of what was there: a reader finds a whole one."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        replace_file(beside / WEIGHTS, weights, durable=True)
        text = msgspec.json.format(msgspec.json.encode(header), indent=2)
        replace_file(beside / HEADER, text + b"\n", durable=True)
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
