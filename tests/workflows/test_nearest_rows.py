"""The rows nearest to a question: by the words that tell, and with what each side said."""

from __future__ import annotations

from dataclasses import replace

from flyball.data.conversations import Turn, encode_turns
from flyball.workflows.nearest_rows import closest, texts_of, words_in
from small_models import make_row, rows


def test_rare_words_make_a_row_near_and_the_same_words_come_first() -> None:
    made = [make_row(f"please help me with my order {k}", "order", k) for k in range(200)]
    made += [make_row("please help me with a strange charge of fee", "billing", 300), make_row("parcel", "late", 301)]
    found = closest("a strange charge of fee, please help me with", made, limit=3)
    assert [row.line for _, row in found][:1] == [300] and found[0][0] == 1.0
    assert found[1][0] < 0.5


def test_a_text_that_shares_no_word_is_near_to_nothing_and_equal_rows_keep_their_order() -> None:
    made = rows(20, seed=1)
    assert closest("xyzzy", made, limit=5) == [] and closest("", made, limit=5) == []
    twins = [make_row("same words", "a", line) for line in (1, 2, 3)]
    assert [row.line for _, row in closest("same words", twins, limit=2)] == [1, 2]


def test_a_row_in_a_script_without_blanks_is_found() -> None:
    made = [make_row("我的银行卡丢了", "card", 1), make_row("退款什么时候到", "refund", 2)]
    assert [row.label for _, row in closest("银行卡不见了", made, limit=1)] == ["card"]


def test_texts_come_by_role_also_of_a_conversation() -> None:
    row = make_row("where is it", "late")
    assert texts_of(row) == [{"role": "user", "content": "where is it"}, {"role": "assistant", "content": "late"}]
    long = replace(row, turns=encode_turns([Turn("system", "be kind"), Turn("user", "hi")]), label=None)
    assert [turn["role"] for turn in texts_of(long)] == ["system", "user"]


def test_content_of_any_shape_gives_its_words() -> None:
    assert words_in([{"type": "text", "text": "a"}, {"type": "image_url"}, "b"]) == "a\n\nb"
    assert words_in(None) == "" and words_in({"odd": 1}) == ""
