"""Features in plain Python are those of scikit-learn, over odd texts too."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from flyball.errors import CorruptionError, NotFoundError
from flyball.inference.text_features import VECTORIZER, Terms, Vectorizer, Vocabulary, read_vocabulary
from small_models import ODD_STRINGS, rows

TEXTS = [row.text for row in rows(60, seed=3)] + list(ODD_STRINGS)


def pair(analyzer: str, sizes: tuple[int, int], *, sublinear: bool) -> tuple[TfidfVectorizer, Vectorizer]:
    theirs = TfidfVectorizer(analyzer=analyzer, ngram_range=sizes, sublinear_tf=sublinear).fit(TEXTS)
    terms = Terms(
        analyzer=analyzer,  # type: ignore[arg-type]
        shortest=sizes[0],
        longest=sizes[1],
        sublinear=sublinear,
        terms=tuple(theirs.get_feature_names_out().tolist()),
        idf=tuple(theirs.idf_.tolist()),
    )
    stored = msgspec.json.encode(Vocabulary(labels=("a", "b"), parts=(terms,)))
    return theirs, Vectorizer(msgspec.json.decode(stored, type=Vocabulary))


PAIRS = [
    pair(analyzer, sizes, sublinear=sublinear)
    for analyzer, sizes in (("word", (1, 2)), ("word", (2, 3)), ("char_wb", (2, 5)), ("char_wb", (3, 8)))
    for sublinear in (True, False)
]


def check(texts: Sequence[str]) -> None:
    for theirs, ours in PAIRS:
        expected = theirs.transform(texts)
        expected.sort_indices()
        for number, text in enumerate(texts):
            columns, values = ours(text)
            row = expected[number]
            assert columns == row.indices.tolist(), text
            assert values == pytest.approx(row.data.tolist(), rel=1e-14), text


def test_features_equal_scikit_learns_on_odd_texts() -> None:
    choose = random.Random(5)
    mixed = ["".join(choose.sample("".join(TEXTS), 60)) for _ in range(100)]
    check(
        [
            *TEXTS,
            *mixed,
            "",
            " ",
            "\x00",
            "İstanbul ẞ ﬁ",
            "it’s\u2028two\u3000three\x1cfour",
            "a b c",
            "_" * 5,
            "\ud800 lost card",
        ]
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_features_equal_scikit_learns_on_any_text(texts: list[str]) -> None:
    check([*texts, " card ".join(texts)])


def test_a_text_without_a_known_word_has_no_features() -> None:
    assert PAIRS[0][1]("qqqq zzzz") == ([], [])


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b'{"labels": ["a"]}', b"[" * 100_000])
def test_a_broken_vocabulary_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / VECTORIZER).write_bytes(content)
    with pytest.raises(CorruptionError, match=VECTORIZER):
        read_vocabulary(tmp_path)


def test_a_vocabulary_with_a_weight_too_few_is_refused(tmp_path: Path) -> None:
    part = Terms(analyzer="word", shortest=1, longest=1, sublinear=True, terms=("a", "b"), idf=(1.0,))
    (tmp_path / VECTORIZER).write_bytes(msgspec.json.encode(Vocabulary(labels=("x", "y"), parts=(part,))))
    with pytest.raises(CorruptionError, match="one weight for each term"):
        read_vocabulary(tmp_path)
    with pytest.raises(NotFoundError, match=r"no vectorizer\.json"):
        read_vocabulary(tmp_path / "nowhere")
