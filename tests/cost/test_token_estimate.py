"""Tokens from texts: by script before anything is known, by what answers taught afterwards."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.cost.token_estimate import SAMPLE, Calibration, estimate, weigh

ENGLISH = "Your parcel left our warehouse on Tuesday and should reach you before the weekend. "
TEXTS = {  # each with what o200k_base and SmolLM2's tokenizer make of it
    ENGLISH: (16, 17),
    "您的包裹已于星期二离开我们的仓库，预计周末之前送达。": (17, 48),
    "お客様のお荷物は火曜日に倉庫を出発し、週末までにお届けする予定です。": (22, 59),
    "พัสดุของคุณออกจากคลังสินค้าเมื่อวันอังคารและจะถึงก่อนวันหยุดสุดสัปดาห์": (30, 131),
    "for (let i = 0; i < items.length; i++) {\n  total += price * (quantities[id] ?? 0);\n}\n": (27, 34),
}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_an_estimate_lies_within_a_factor_of_three_of_old_and_new_tokenizers(text: str) -> None:
    new, old = TEXTS[text]
    assert old / 3 <= estimate(text) <= new * 3


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("which", [0, 1])
def test_what_answers_teach_corrects_it(text: str, which: int) -> None:
    calibration = Calibration()
    for _ in range(5):
        calibration.learn("m", text, TEXTS[text][which])
    assert calibration.tokens("m", text * 3) == pytest.approx(3 * TEXTS[text][which], rel=0.05)
    assert calibration.tokens("other", text) == estimate(text), "and nobody else's"


def test_one_script_teaches_nothing_about_another() -> None:
    calibration = Calibration()
    thai = list(TEXTS)[3]
    calibration.learn("m", thai, 4 * estimate(thai))
    assert calibration.tokens("m", ENGLISH) == estimate(ENGLISH)


def test_no_lie_moves_an_estimate_beyond_a_factor_of_four() -> None:
    calibration = Calibration()
    for _ in range(50):
        calibration.learn("less", ENGLISH, 12)
        calibration.learn("more", ENGLISH, 10**9)
    assert estimate(ENGLISH) / 4 - 1 <= calibration.tokens("less", ENGLISH)
    assert calibration.tokens("more", ENGLISH) <= estimate(ENGLISH) * 4 + 1


def test_little_is_learned_of_little_and_seldom_once_much_is_known() -> None:
    calibration = Calibration()
    calibration.learn("m", "yes", 3)
    assert calibration.tokens("m", "yes") == estimate("yes")
    assert sum(calibration.due("m") for _ in range(16 + 640)) == 16 + 10


def test_nothing_is_kept_of_models_without_end() -> None:
    calibration = Calibration()
    for number in range(2000):
        calibration.due(f"model {number}")
    assert len(calibration._seen) <= 512


def test_a_long_text_is_weighed_by_samples_in_little_time() -> None:
    text = ENGLISH * 40_000
    began = time.process_time()
    found = estimate(text)
    assert time.process_time() - began < 0.5
    assert found == pytest.approx(40_000 * estimate(ENGLISH), rel=0.05) and len(text) > 100 * SAMPLE


@given(st.text(max_size=200))
def test_any_text_has_some_tokens_and_never_more_than_a_few_a_letter(text: str) -> None:
    assert min(len(text), 1) <= estimate(text) <= 3 * len(text)
    assert all(weight > 0 for weight in weigh(text).values())
