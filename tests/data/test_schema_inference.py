"""A file of rows is understood well enough to begin with, and every guess is explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flyball.data.samples.tickets import write_tickets
from flyball.data.schema_inference import Guess, guess
from flyball.errors import InputError
from rows_on_disk import write_lines


def columns(found: Guess) -> dict[str, str]:
    return {field.role: field.column for field in found.fields}


def test_the_sample_tickets_are_a_classification_of_customers_rows(tmp_path: Path) -> None:
    write_tickets(tmp_path / "tickets.jsonl", rows=1500)
    found = guess(tmp_path / "tickets.jsonl")
    assert found.task == "classification"
    assert columns(found) == {"text": "text", "label": "intent", "subject": "customer_id", "id": "id"}
    assert all(field.explanation for field in found.fields)
    assert any("cannot be read" in line for line in found.explanations)
    assert any("customer_id" in line for line in found.sides)


def test_free_answers_make_a_chat(tmp_path: Path) -> None:
    asked = [
        {
            "instruction": f"how do I mend thing number {n} of mine",
            "context": "",
            "response": f"you take tool {n} and turn",
        }
        for n in range(50)
    ]
    found = guess(write_lines(tmp_path / "a.jsonl", asked))
    assert found.task == "chat"
    assert columns(found) == {"text": "instruction", "label": "response"}


def test_a_test_file_beside_a_training_file_is_seen(tmp_path: Path) -> None:
    lines = [{"text": f"words and more words {n}", "category": "ab"[n % 2]} for n in range(40)]
    write_lines(tmp_path / "test.jsonl", lines)
    found = guess(write_lines(tmp_path / "train.jsonl.gz", lines))
    assert columns(found) == {"text": "text", "label": "category"}
    assert any("test.jsonl lies beside it" in line for line in found.sides)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "it has no rows"),
        ([b"nope"], "none of the first 1 rows could be read; line 1 is malformed"),
        (
            [{"vector": [1, 2], "n": 3}],
            r"no column looks like text; fields seen: vector \(list\), n \(int\)",
        ),
    ],
)
def test_what_cannot_be_understood_is_explained_with_the_fields_seen(
    tmp_path: Path, lines: list[dict[str, object] | bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        guess(write_lines(tmp_path / "a.jsonl", lines))
    assert caught.value.cure


WORDS = ["the", "order", "parcel", "late", "card", "account", "please", "help", "return", "money", "shop", "broken"]
TURNS = [{"role": "user", "content": "hello you"}, {"role": "assistant", "content": "hi there"}]
KINDS: dict[str, Callable[[int], Any]] = {
    "free": lambda n: " ".join(WORDS[(n * 7 + k * (n % 5 + 1)) % 12] for k in range(12)) + f" {n}",
    "chinese": lambda n: "我的包裹还没有到请帮我查一下" + "甲乙丙丁戊己庚辛"[n % 8] * (n % 9) + str(n),
    "short": lambda n: f"part {n} of it",
    "three": lambda n: ["alpha", "beta", "gamma"][n % 3],
    "bit": lambda n: n % 2,
    "five": lambda n: n % 5 + 1,
    "person": lambda n: f"U{n // 4:04d}",
    "unique": lambda n: f"a{n:05d}",
    "number": lambda n: n * 37 % 1000 + 0.5,
    "date": lambda n: f"2024-01-{n % 28 + 1:02d} 10:00:00",
    "country": lambda n: ["DE", "FR", "US"][n % 3],
    "one": lambda n: "same" if n else "other",
    "turns": lambda n: [TURNS[0], {**TURNS[1], "content": f"hi there {n}"}],
    "sharegpt": lambda n: [{"from": "human", "value": "hello"}, {"from": "gpt", "value": f"hi {n}"}],
    "transcript": lambda n: f"\n\nHuman: what is {n}?\n\nAssistant: it is {n + 1}",
    "side": lambda n: ["train", "train", "test", "validation"][n % 4],
    "list": lambda n: [f"what is {n}?", "and now?"],
    "inner": lambda n: [{"input": f"words {n}", "output": f"longer words of an answer {n}"}],
    "url": lambda n: f"https://example.org/{n}/page",
}
HEADERS = {
    "banking77": (
        "text:free category:three",
        "classification",
        "text=text label=category",
    ),
    "clinc150": (
        "text:free intent:three domain:three split:side",
        "classification",
        "text=text label=intent split=split",
    ),
    "sms spam": (
        "label:bit text:free row:unique near_dup_group:number",
        "classification",
        "text=text label=label",
    ),
    "sms spam, Kaggle": (
        "v1:three v2:free",
        "classification",
        "text=v2 label=v1",
    ),
    "dolly": (
        "instruction:free context:free response:free category:three",
        "chat",
        "text={instruction}\n\n{context} label=response",
    ),
    "alpaca": (
        "instruction:free input:short output:free",
        "chat",
        "text={instruction}\n\n{input} label=output",
    ),
    "gsm8k": (
        "question:free answer:free",
        "chat",
        "text=question label=answer",
    ),
    "hh-rlhf": (
        "id:unique chosen:transcript rejected:transcript",
        "chat",
        "messages=chosen rejected=rejected id=id",
    ),
    "ultrafeedback": (
        "prompt:free prompt_id:unique chosen:turns rejected:turns",
        "chat",
        "text=prompt label=chosen rejected=rejected id=prompt_id",
    ),
    "ultrachat": (
        "prompt:free prompt_id:unique messages:turns",
        "chat",
        "messages=messages id=prompt_id",
    ),
    "sharegpt": (
        "id:unique conversations:sharegpt",
        "chat",
        "messages=conversations id=id",
    ),
    "openai": (
        "messages:turns",
        "chat",
        "messages=messages",
    ),
    "mt_bench": (
        "question_id:five category:three turns:list",
        "chat",
        "messages=turns",
    ),
    "prompt and completion": (
        "prompt:free completion:free",
        "chat",
        "text=prompt label=completion",
    ),
    "imdb": (
        "review:free sentiment:three",
        "classification",
        "text=review label=sentiment",
    ),
    "ag_news": (
        "text:free label:five",
        "classification",
        "text=text label=label",
    ),
    "davidson": (
        "row:unique count:five hate_speech:five neither:five class:three tweet:free",
        "classification",
        "text=tweet label=class",
    ),
    "cfpb": (
        "Product:three Issue:three Consumer_complaint_narrative:free Company:person State:country Complaint_ID:unique",
        "classification",
        "text=Consumer_complaint_narrative label=Product id=Complaint_ID",
    ),
    "tickets": (
        "user_country:country customer_id:person text:free intent:three",
        "classification",
        "text=text label=intent subject=customer_id",
    ),
    "tickets, camel": (
        "customerId:person messageBody:free ticketType:three createdAt:date",
        "classification",
        "text=messageBody label=ticketType subject=customerId",
    ),
    "amazon reviews": (
        "reviewerID:person asin:unique reviewText:free overall:five summary:short unixReviewTime:number",
        "chat",
        "text=reviewText label=summary subject=reviewerID",
    ),
    "yelp": (
        "review_id:unique user_id:person business_id:person stars:five date:date text:free",
        "classification",
        "text=text label=stars subject=user_id id=review_id",
    ),
    "squad, flat": (
        "id:unique title:three context:free question:free answer:short",
        "chat",
        "text={question}\n\n{context} label=answer id=id",
    ),
    "cnn": (
        "article:free highlights:free id:unique",
        "chat",
        "text=article label=highlights id=id",
    ),
    "toxic comments": (
        "id:unique comment_text:free toxic:bit target:bit",
        "classification",
        "text=comment_text label=target id=id",
    ),
    "goemotions": (
        "text:free id:unique author:person subreddit:three emotion:three created_utc:number",
        "classification",
        "text=text label=emotion subject=author id=id",
    ),
    "taskmaster": (
        "conversation_id:person utterance:free speaker:three intent:three",
        "classification",
        "text=utterance label=intent group=conversation_id",
    ),
    "self-instruct": (
        "id:unique instruction:free instances:inner is_classification:one",
        "chat",
        "text={instruction}\n\n{instances.0.input} label=instances.0.output id=id",
    ),
    "Chinese": (
        "内容:chinese 标签:three",
        "classification",
        "text=内容 label=标签",
    ),
    "Chinese without known names": (
        "wenben:chinese biaoqian:three",
        "classification",
        "text=wenben label=biaoqian",
    ),
    "news": (
        "url:url published:date headline:free body:free topic:three",
        "classification",
        "text=body label=topic",
    ),
    "telecom churn": (
        "customerID:person gender:country tenure:five feedback_text:free Churn:bit category:three",
        "classification",
        "text=feedback_text label=category subject=customerID",
    ),
    "group in one value": (
        "text:free label:three session_id:one",
        "classification",
        "text=text label=label",
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_public_data_sets_are_understood(tmp_path: Path, name: str) -> None:
    header, task, wanted = HEADERS[name]
    kinds = dict(part.split(":") for part in header.split())
    lines = [{column: KINDS[kind](n) for column, kind in kinds.items()} for n in range(120)]
    found = guess(write_lines(tmp_path / "a.jsonl", lines))
    said = " ".join(f"{field.role}={field.column}" for field in found.fields)
    assert (found.task, said) == (task, wanted), found.explanations
    assert all(field.explanation for field in found.fields)


def test_the_runner_up_is_named(tmp_path: Path) -> None:
    lines = [{"headline": KINDS["short"](n), "body": KINDS["free"](n), "topic": KINDS["three"](n)} for n in range(60)]
    found = guess(write_lines(tmp_path / "a.jsonl", lines))
    assert "next: headline" in found.fields[0].explanation


def test_a_group_that_would_leave_a_side_empty_is_told(tmp_path: Path) -> None:
    lines = [{"text": KINDS["free"](n), "label": KINDS["three"](n), "case_id": f"c{n % 6}"} for n in range(120)]
    found = guess(write_lines(tmp_path / "a.jsonl", lines))
    assert columns(found)["group"] == "case_id"
    assert any("has only 6 values" in line and "test side may stay empty" in line for line in found.sides)


def test_the_text_is_found_among_five_thousand_columns(tmp_path: Path) -> None:
    lines = [
        {**{f"f{k}": k * n for k in range(5000)}, "text": KINDS["free"](n), "label": KINDS["three"](n)}
        for n in range(24)
    ]
    found = guess(write_lines(tmp_path / "a.jsonl", lines))
    assert columns(found) == {"text": "text", "label": "label"}


def test_a_file_without_names_of_columns_gets_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("\n".join(f"{'ham' if n % 3 else 'spam'}\t{KINDS['free'](n)}" for n in range(60)))
    found = guess(path)
    assert found.columns == ("column_1", "column_2")
    assert columns(found) == {"text": "column_2", "label": "column_1"}


def test_near_duplicates_and_writers_keep_rows_together(tmp_path: Path) -> None:
    made = [
        {
            "text": f"words and more words {n}",
            "label": "ab"[n % 2],
            "near_dup_group": n // 2,
            "anon_writer": f"a{n % 30}",
        }
        for n in range(120)
    ]
    found = guess(write_lines(tmp_path / "a.jsonl", made))
    assert columns(found) == {
        "text": "text",
        "label": "label",
        "group": "near_dup_group",
        "subject": "anon_writer",
    }
    assert any("all rows of one near_dup_group stay on one side" in line for line in found.sides)


def test_every_column_that_could_be_a_person_or_group_and_is_not_taken_has_its_reason(tmp_path: Path) -> None:
    made = [
        {
            "text": f"words and more words {n}",
            "label": "ab"[n % 2],
            "customer_id": f"C{n // 3}",
            "user_country": "DE",
            "age_group": n % 5,
            "author": f"a{n // 2}",
        }
        for n in range(120)
    ]
    told = guess(write_lines(tmp_path / "a.jsonl", made)).explanations
    for name, why in (("user_country", "country"), ("age_group", "age"), ("author", "customer_id is")):
        assert any(line.startswith(name) and why in line for line in told), (name, told)


def test_an_ideal_answer_is_one_and_columns_may_be_named(tmp_path: Path) -> None:
    made = [
        {
            "task": ["email", "table"][n % 2],
            "context": f"the context number {n}",
            "question": f"what is {n}",
            "ideal": f"${n}",
        }
        for n in range(60)
    ]
    path = write_lines(tmp_path / "a.jsonl", made)
    assert columns(guess(path))["label"] == "ideal" and guess(path).task == "chat"
    named = guess(path, text="context", label="task")
    assert named.task == "classification" and columns(named) == {"text": "context", "label": "task"}
    with pytest.raises(InputError, match="no column 'idea', but task, context, question, ideal"):
        guess(path, label="idea")
