"""`flyball run` says what became of texts that are too long, in training and in evaluation."""

from __future__ import annotations

from flyball.cli.result_text import errors_text, lengths_text


def document(cut: int, left_out: int, tested: dict[str, int]) -> dict[str, object]:
    metrics = {"max_characters": 900.0, "rows_truncated": float(cut), "rows_too_long": float(left_out)}
    return {"training_run": {"content": {"metrics": metrics}}, "evaluation": {"asked": 80, "prepared": tested}}


def test_both_counts_are_told_with_the_rule() -> None:
    assert lengths_text(document(152, 1, {"cut": 9, "markup": 3})) == (
        "texts are cut after 900 characters: 152 training rows and 9 of 80 test requests; "
        "1 training rows did not fit all the same and were left out"
    )


def test_nothing_is_said_where_all_texts_fit_or_nothing_was_trained() -> None:
    assert lengths_text(document(0, 0, {})) is None
    assert lengths_text({"training_run": None, "evaluation": {"asked": 3, "prepared": {"cut": 1}}}) is None


def test_rows_that_the_template_refuses_are_told() -> None:
    run = {"content": {"metrics": {"max_characters": 900.0, "rows_refused": 4.0}}}
    told = lengths_text({"training_run": run, "evaluation": {"asked": 3, "prepared": {}}})
    assert told == "the model's chat template refuses the turns of 4 training rows, which were left out"


def test_requests_without_an_answer_are_told_with_the_commonest_reason() -> None:
    evaluation = {"asked": 198, "errors": {"the engine is gone": 1, "request (271 tokens) exceeds the context": 2}}
    told = errors_text(evaluation)
    assert told is not None and told.startswith("3 of 198 test requests; most often (2): request (271 tokens)")
    assert errors_text({"asked": 198, "errors": {}}) is None and errors_text({}) is None
