"""Hashed features, and the file of weights."""

from __future__ import annotations

import json
import math
import time
from array import array

import pytest

from flyball.errors import CorruptionError
from flyball.inference.classifiers.hashed_ngrams import buckets_of, words_in
from flyball.inference.classifiers.header import HashedNgrams
from flyball.inference.classifiers.linear import LinearScorer, logistic
from flyball.inference.classifiers.weights_file import packed, unpacked


def test_a_text_is_read_without_what_does_not_matter() -> None:
    assert words_in("@ann SOOOOOO http://x.y/z!") == ["@", "sooo", "http"]
    assert words_in("i\u200bdiot") == ["idiot"] and words_in("ｉｄｉｏｔ") == ["idiot"]


def test_buckets_are_within_bounds_and_the_same_in_any_order_of_calls() -> None:
    one, other = buckets_of("some words here", 10), buckets_of("some words here", 10)
    assert set(one) == set(other) and all(0 <= bucket < 1024 for bucket in one) and len(set(one)) == len(one)
    assert not buckets_of(" \u200b ", 10)
    buckets_of("\ud800 lone", 18)


def test_the_probability_is_that_of_the_formula() -> None:
    features = HashedNgrams(bits=8, scale=0.5, intercept=-1.0)
    score = LinearScorer(features, array("b", [3] * 256))
    size = len(buckets_of("a b", 8))
    assert score(["a b"]) == [pytest.approx(1 / (1 + math.exp(1 - 0.5 * 3 * size / math.sqrt(size))))]
    assert score([""]) == [pytest.approx(1 / (1 + math.e))]
    assert (logistic(-1000), logistic(1000)) == (0.0, 1.0)


def test_a_long_text_takes_linear_time() -> None:
    score = LinearScorer(HashedNgrams(bits=18, scale=0.1, intercept=0), array("b", bytes(1 << 18)))
    began = time.process_time()
    score(["a" * 1_000_000, "@" * 1_000_000, "x y " * 250_000])
    assert time.process_time() - began < 5


def test_weights_come_back_and_damage_is_named() -> None:
    weights = array("b", [-127, 0, 5, 127])
    data = packed(weights)
    assert unpacked(data, 4, where="w") == weights
    wrong = json.dumps({"weights": {"dtype": "F32", "shape": [4], "data_offsets": [0, 4]}}).encode()
    for broken in (b"", data[:7], data[:-1], data + b"\0", b"\xff" * 40, data.replace(b"I8", b"U8"),
                   len(wrong).to_bytes(8, "little") + wrong + b"abcd", b"\x02" + bytes(7) + b"[]"):  # fmt: skip
        with pytest.raises(CorruptionError, match="w "):
            unpacked(broken, 4, where="w")
