"""The page that tries two releases on one input: its form, the answers with their differences, a case of a suite."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from flyball.console import text_formats
from flyball.errors import InputError
from flyball.inference.words import UNSPACED
from flyball.storage.ledger import Ledger

if TYPE_CHECKING:
    from flyball.workflows.playground import Choice, Playground, Tried

MOST_BYTES = 256 * 1024
"""Of a posted form: 32,000 characters of any alphabet, percent-encoded, and a little more."""
MOST_WORDS = 4_000
"""Longer answers are shown without marks: comparing takes the square of their length."""
MOST_PAIRS = 100_000
"""Of equal words on both sides: one that comes again and again takes minutes to compare."""
MOST_SHOWN = 2_000
_UNSPACED = UNSPACED.pattern
_WORD = re.compile(rf"\s*(?:{_UNSPACED}|(?:(?!{_UNSPACED})\w)+|[^\w\s])|\s+")
"""A word, a sign, or a character of a script that puts no spaces, with the space before it."""
PLACES = {"runs": "runs", "elsewhere": "server elsewhere", "starts": "starts an engine"}

Span = tuple[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What was chosen and typed."""

    left: str = ""
    right: str = ""
    input: str = ""
    as_json: bool = False
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One answer: its text in spans, those that the other lacks marked, and its figures."""

    tried: Tried
    role: str
    spans: tuple[Span, ...]
    figures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that the template shows."""

    form: Form
    choices: tuple[Choice, ...]
    sides: tuple[Side, ...] = ()
    note: str = ""
    fields: tuple[tuple[str, str, str, str], ...] = ()
    cases: tuple[tuple[str, str], ...] = ()

    def label(self, choice: Choice) -> str:
        """A release in a list."""
        return label_of(choice)


def label_of(choice: Choice) -> str:
    """Name, what it is on which route, and where it would answer."""
    parts = (text_formats.brief(choice.name), role_of(choice), PLACES[choice.place])
    return " · ".join(part for part in parts if part)


def role_of(choice: Choice) -> str:
    """What a release is on which route; empty for one that is nowhere."""
    return f"{choice.role} on {choice.route}" if choice.route else ""


async def posted_form(request: Request) -> Form:
    """The form of a post; InputError when it is too large or none."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise InputError(f"the form is larger than {MOST_BYTES // 1024} KiB", cure="shorten the input")
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    try:
        fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20))
    except ValueError as error:  # no ASCII, or too many fields
        raise InputError("the form cannot be read", cure="send it from the page of the playground") from error
    if media != "application/x-www-form-urlencoded":
        raise InputError(f"the form comes as {media or 'nothing'}", cure="send application/x-www-form-urlencoded")
    return form_of(fields)


def form_of(fields: Mapping[str, str]) -> Form:
    """A form's fields; browsers end lines with CRLF, which nobody typed."""
    return Form(
        left=fields.get("left", "").strip()[:64],
        right=fields.get("right", "").strip()[:64],
        input=fields.get("input", "").replace("\r\n", "\n"),
        as_json=fields.get("as") == "messages",
        token=fields.get("token", ""),
    )


def empty_page(playground: Playground, form: Form) -> Page:
    """The form before anything was tried: live on the left, the newest candidate on the right, unless chosen."""
    choices = playground.choices(form.left, form.right)
    names = [choice.name for choice in choices]
    left = _full(form.left, names) or next(iter(names), "")
    candidate = next((choice.name for choice in choices if choice.role not in ("", "live")), None)
    others = [name for name in names if name != left]
    right = _full(form.right, names) or (candidate if candidate in others else next(iter(others), left))
    chosen = Form(left=left, right=right, input=form.input, as_json=form.as_json)
    return Page(form=chosen, choices=choices)


def tried_page(playground: Playground, ledger: Ledger, form: Form) -> Page:
    """Both answers, and what the releases differ in; FlyballError where nothing could be tried at all."""
    from flyball.workflows.playground import messages_in, suite_cases  # loaded with the playground
    from flyball.workflows.release_diff import release_diff

    messages = messages_in(form.input, as_json=form.as_json)
    diff = release_diff(ledger, form.left, form.right)
    tried = playground.answers((diff["first"], diff["second"]), messages)
    page = empty_page(playground, form)
    words = [split_words(one.text) for one in tried]
    marked = can_mark(*words)
    spans = marked_spans(*words) if marked else tuple(((one.text, False),) for one in tried)
    roles = {choice.name: role_of(choice) for choice in page.choices}
    return Page(
        form=page.form,
        choices=page.choices,
        sides=tuple(
            Side(tried=one, role=roles[one.name], spans=part, figures=figures(one))
            for one, part in zip(tried, spans, strict=True)
        ),
        note=note_on(tried, spans, marked=marked),
        fields=tuple((row["part"], row["field"], shown(row["first"]), shown(row["second"])) for row in diff["fields"]),
        cases=tuple(suite_cases(messages, tried)),
    )


def split_words(text: str) -> list[str]:
    """A text in words and signs, each with the space before it."""
    return _WORD.findall(text)


def note_on(tried: Sequence[Tried], spans: Sequence[Sequence[Span]], *, marked: bool) -> str:
    """What to say where no marks are seen; nothing where a side failed or words differ."""
    if any(one.problem for one in tried) or any(differs for part in spans for _, differs in part):
        return ""
    if tried[0].text == tried[1].text:
        return "Both answers are the same."
    return (
        "The answers differ in blanks alone."
        if marked
        else "The answers are too long, or too repetitive, to mark their differences."
    )


def can_mark(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two sequences of words are compared in a second or so."""
    if max(len(first), len(second)) > MOST_WORDS:
        return False
    there = Counter(word.strip() for word in second)
    return first == second or sum(there[word.strip()] for word in first) <= MOST_PAIRS


def marked_spans(first: Sequence[str], second: Sequence[str]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Both sequences of words as spans of text; True marks what the other side does not have there.

    The space before a word is no difference.
    """
    left: list[Span] = []
    right: list[Span] = []
    if first == second:
        whole = (("".join(first), False),) if first else ()
        return whole, whole
    one, two = [word.strip() for word in first], [word.strip() for word in second]
    for kind, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        for side, text in ((left, "".join(first[a:b])), (right, "".join(second[c:d]))):
            words = text if kind == "equal" else text.lstrip()
            blanks = text[: len(text) - len(words)]
            side += [span for span in ((blanks, False), (words, kind != "equal")) if span[0]]
    return tuple(left), tuple(right)


def figures(tried: Tried) -> tuple[tuple[str, str], ...]:
    """What an answer took, and how sure the engine was of it."""
    if tried.problem:
        return ()
    found = [
        ("time", text_formats.milliseconds(tried.total_ms)),
        ("tokens", f"{text_formats.count(tried.prompt_tokens)} + {text_formats.count(tried.completion_tokens)}"),
        ("cost", text_formats.usd(tried.usd)),
        ("ended by", tried.finish_reason or text_formats.DASH),
    ]
    if tried.log_probability is None:
        found.append(("log-probability", f"not available: {tried.unknown}"))
    else:
        probability = text_formats.percent(math.exp(tried.log_probability))
        found.append(("log-probability", f"{tried.log_probability:.3f} ({probability})".replace("-", "−")))
    return tuple(found)


def shown(value: Any) -> str:
    """A value of a release, whole up to a length."""
    text = "(none)" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} … ({len(text):,} characters)"


def _full(name: str, names: Sequence[str]) -> str | None:
    """The whole name of a release by its first digits."""
    return next((one for one in names if name and one.startswith(name)), None)
