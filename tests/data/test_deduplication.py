"""Deduplication finds exactly the pairs that are similar enough, whatever the order of the rows."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.data.config import DedupeConfig
from flyball.data.deduplication import Candidate, exact_key, find_duplicates, grams_of, majority, normal_form

WORDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=14).map(" ".join)


def candidate(number: int, text: str, *, side: str = "train", label: str = "x", fixed: bool = False) -> Candidate:
    return Candidate(
        row_id=f"{number:04d}",
        order=("s", number),
        side=side,
        label=label,
        declared=side if fixed else None,
        exact=exact_key(text),
        grams=grams_of(text),
    )


def similarity(one: Candidate, other: Candidate) -> float:
    return len(one.grams & other.grams) / len(one.grams | other.grams)


@settings(max_examples=40)
@given(texts=st.lists(WORDS, max_size=40), near=st.sampled_from([0.5, 0.6, 0.8, 0.95, 1.0]), data=st.data())
def test_kept_rows_are_pairwise_dissimilar_and_every_dropped_row_resembles_a_kept_one(
    texts: list[str], near: float, data: st.DataObject
) -> None:
    sides = st.sampled_from(["train", "validation", "test"])
    rows = [candidate(n, text, side=data.draw(sides)) for n, text in enumerate(texts)]
    gone = find_duplicates(rows, DedupeConfig(near=near))
    kept = [row for at, row in enumerate(rows) if at not in gone]
    for at, row in enumerate(kept):
        assert all(similarity(row, other) < near for other in kept[:at])
    for at in gone:
        twins = [row for row in kept if similarity(row, rows[at]) >= near or row.exact == rows[at].exact]
        assert twins
        if gone[at].reason.startswith("leaks into"):
            assert rows[at].side != gone[at].reason.split()[-1]


@settings(max_examples=40)
@given(texts=st.lists(st.tuples(WORDS, st.sampled_from("xy")), max_size=30), seed=st.integers(0, 999))
def test_the_order_of_rows_decides_nothing(texts: list[tuple[str, str]], seed: int) -> None:
    rows = [candidate(n, text, label=label) for n, (text, label) in enumerate(texts)]
    shuffled = rows.copy()
    random.Random(seed).shuffle(shuffled)
    first, second = (find_duplicates(some, DedupeConfig()) for some in (rows, shuffled))
    assert {rows[at].row_id: why for at, why in first.items()} == {
        shuffled[at].row_id: why for at, why in second.items()
    }


def test_exact_duplicates_ignore_case_punctuation_and_spaces_but_not_words() -> None:
    assert normal_form("Where's my  ORDER?!") == normal_form("where's my order")
    assert normal_form("where is my order") != normal_form("where's my order")
    assert normal_form("???") != normal_form("!!!")


def test_a_mislabelled_near_copy_goes_and_the_rightly_labelled_ones_keep_one_row() -> None:
    base = "the parcel with the tall green lamp has not come to our house yet and we wait"
    rows = [candidate(n, f"{base} {end}", label="right") for n, end in enumerate(("now", "still", "today"), start=1)]
    rows.append(candidate(0, base, label="wrong"))
    gone = find_duplicates(rows, DedupeConfig())
    assert gone[3].reason == "conflicting label"
    kept = [row for at, row in enumerate(rows) if at not in gone]
    assert {row.label for row in kept} == {"right"}


def test_with_conflicts_kept_near_copies_with_other_labels_live_on_their_own_side_only() -> None:
    base = "the parcel with the tall green lamp has not come to our house yet and we wait"
    rows = [candidate(1, base, label="a"), candidate(2, base + " now", label="b")]
    assert find_duplicates(rows, DedupeConfig(conflicts="keep")) == {}
    rows = [candidate(1, base, label="a"), candidate(2, base + " now", label="b", side="test")]
    assert find_duplicates(rows, DedupeConfig(conflicts="keep"))[0].reason == "leaks into test"


def test_rows_of_a_declared_side_give_way_to_exact_copies_only() -> None:
    base = "the parcel with the tall green lamp has not come to our house yet and we wait"
    rows = [candidate(n, text, side="test", fixed=True) for n, text in enumerate((base, base + " now", base + "!"))]
    rows.append(candidate(3, base, side="test", fixed=True, label="other"))
    gone = find_duplicates(rows, DedupeConfig())
    assert {at: why.reason for at, why in gone.items()} == {2: "exact duplicate"}


def test_without_a_threshold_near_duplicates_stay() -> None:
    base = "the parcel with the tall green lamp has not come to our house yet and we wait"
    assert not find_duplicates([candidate(1, base), candidate(2, base + " now")], DedupeConfig(near=None))


@pytest.mark.parametrize(("labels", "winner"), [("aab", "a"), ("ab", None), ("aabb", None), ("a", "a"), ("abcaa", "a")])
def test_a_majority_is_a_label_with_more_votes_than_any_other(labels: str, winner: str | None) -> None:
    assert majority(labels) == winner


def test_ten_thousand_short_rows_take_less_than_six_seconds_of_processor_time() -> None:
    rng = random.Random(3)
    vocabulary = [f"w{n}" for n in range(400)]
    texts = [" ".join(rng.choices(vocabulary, k=rng.randrange(5, 25))) for _ in range(9000)]
    texts += [f"{text} extra" for text in rng.choices(texts, k=1000)]
    rows = [candidate(n, text) for n, text in enumerate(texts)]
    began = time.process_time()
    gone = find_duplicates(rows, DedupeConfig())
    assert time.process_time() - began < 6
    assert len(gone) > 500


def test_a_thousand_copies_of_one_template_do_not_cost_a_million_comparisons() -> None:
    base = " ".join(f"word{n}" for n in range(40))
    rows = [candidate(n, f"{base} end{n}") for n in range(3000)]
    began = time.process_time()
    assert len(find_duplicates(rows, DedupeConfig())) == 2999
    assert time.process_time() - began < 3


@pytest.mark.parametrize("near", [0.5, 0.6, 0.75, 0.8, 0.9])
def test_pairs_exactly_at_the_threshold_are_found_however_rare_their_other_grams_are(near: float) -> None:
    missed = []
    for shared in range(2, 25):
        for extra in range(1, 20):
            if shared / (shared + extra) < near:
                continue
            base = [f"w{n}" for n in range(shared + 2)]
            rows = [candidate(0, " ".join(base)), candidate(1, " ".join([*base, *(f"x{n}" for n in range(extra))]))]
            crowd = [candidate(2, " ".join([*base[:-1], f"y{shared}"]), side="test")] if shared > 20 else []
            gone = find_duplicates([*rows, *crowd], DedupeConfig(near=near))
            if not {0, 1} & set(gone):
                missed.append((shared, extra))
    assert not missed


SENTENCES = {
    "Chinese": (
        "我上个星期订购的蓝色水壶到现在还没有送到请问什么时候可以收到",
        "谢谢",
        "我想取消昨天下的订单并且把钱退回到我的银行卡里可以吗",
    ),
    "Japanese": (
        "先週注文した青いやかんがまだ届いていませんがいつ届きますか",
        "ます",
        "昨日の注文を取り消して銀行口座に返金してもらえますでしょうか",
    ),
    "Thai": (
        "กาต้มน้ำสีฟ้าที่ฉันสั่งเมื่อสัปดาห์ที่แล้วยังไม่มาถึงเลยเมื่อไหร่จะได้รับ",
        "ครับ",
        "ฉันต้องการยกเลิกคำสั่งซื้อเมื่อวานและขอเงินคืนเข้าบัญชีธนาคาร",
    ),
    "Hindi": (
        "मैंने पिछले हफ्ते जो नीली केतली मंगाई थी वह अभी तक नहीं पहुँची है मुझे कब मिलेगी बताइए",
        " जी",
        "मैं कल का आदेश रद्द करना चाहता हूँ और पैसे मेरे बैंक खाते में वापस कर दीजिए धन्यवाद",
    ),
    "Arabic": (
        "الغلاية الزرقاء التي طلبتها في الأسبوع الماضي لم تصل حتى الآن متى سوف أستلمها من فضلكم يا سادة",
        " شكرا",
        "أريد إلغاء طلب الأمس وإعادة المبلغ إلى حسابي في البنك في أقرب وقت ممكن لو سمحتم",
    ),
}


@pytest.mark.parametrize("language", SENTENCES)
def test_near_duplicates_and_leaks_are_found_in_languages_without_blanks_too(language: str) -> None:
    text, more, other = SENTENCES[language]
    gone = find_duplicates(
        [candidate(0, text, side="test"), candidate(1, text + more), candidate(2, other)], DedupeConfig()
    )
    assert {at: verdict.reason for at, verdict in gone.items()} == {1: "leaks into test"}


@pytest.mark.parametrize(
    ("first", "second"), [("की", "का"), ("กา", "กี"), ("كَتَبَ", "كُتِبَ"), ("か", "が"), ("ab、bc", "abc")]
)
def test_words_that_differ_in_a_vowel_sign_are_no_duplicates(first: str, second: str) -> None:
    assert exact_key(first) != exact_key(second)


FOOTER = " ".join(f"this is line {n} of what our lawyers add" for n in range(5))


def tickets(count: int) -> list[Candidate]:
    """Distinct short tickets under one long footer; every tenth is told again in almost the same words."""
    made = []
    for n in range(count):
        number = n - 1 if n % 10 == 9 else n
        words = " ".join(f"w{number}{letter}" for letter in "abcde")
        made.append(candidate(n, f"{words} {FOOTER}{' again' * (n % 10 == 9)}"))
    return made


def test_a_footer_makes_rows_neither_alike_nor_slow_to_compare() -> None:
    def seconds(count: int) -> float:
        rows = tickets(count)
        began = time.process_time()
        gone = find_duplicates(rows, DedupeConfig())
        assert {at % 10 for at in gone} == {9} and len(gone) == count // 10
        return time.process_time() - began

    assert similarity(*tickets(2)) > 0.6, "alike enough to be looked at, not to be dropped"
    assert seconds(2000) < 8 * 2 * max(0.01, min(seconds(250), seconds(250)))
