"""The playground's page: two real engines answer, differences are marked, and no other site can send its form."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_console_browser import CONTRAST, UNNAMED, opened

from console_site import served_context
from flyball.console.context import ConsoleContext
from flyball.console.playground import can_mark, marked_spans, note_on, split_words
from flyball.security import audit
from flyball.storage.deployments import move_pointer
from flyball.storage.ledger import open_ledger
from flyball.wiring import Project
from flyball.workflows.playground import Tried
from judged_traffic import project_on
from tiny_releases import add_release

WORDS = st.lists(st.sampled_from(["a", "b", " b", "\nc", " "]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A served console, its project, and two releases of which the first is live."""

    url: str
    project: Project
    live: str
    other: str

    def send(self, *, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """The form as a browser sends it, but for what is given."""
        page = httpx.get(self.url + "/playground", timeout=30).text
        token = re.search(r'name="token" value="([^"]+)"', page)
        assert token is not None
        form = {"token": token[1], "left": self.live, "right": self.other, "input": "hello", "as": "text"}
        sent = {"origin": self.url, "sec-fetch-site": "same-origin"} | (headers or {})
        sent = {name: value for name, value in sent.items() if value}
        return httpx.post(self.url + "/playground", data=form | fields, headers=sent, timeout=60)

    def tries(self) -> int:
        """How many were let in."""
        return len(audit.entries(self.project.ledger))


@pytest.fixture(scope="module")
def place(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("playground")
    shutil.copyfile(sqlite_template, root / "ledger.db")
    ledger = open_ledger(f"sqlite:///{root}/ledger.db", project="shop")
    project = project_on(ledger, root / "shop")
    live = add_release(project)
    other = add_release(project, seed=1, system_prompt="Be brief.\nBe kind.")
    with ledger.begin() as connection:
        move_pointer(connection, "shop", "shop", release=live, deployment="d")
    context = ConsoleContext(project=project)
    with served_context(context) as url:
        yield Place(url=url, project=project, live=live, other=other)
    context.playground.close()
    ledger.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_two_releases_are_tried_with_and_without_scripts(place: Place, browser: Any, scripts: bool) -> None:
    with opened(browser, place.url + "/playground", java_script_enabled=scripts) as page:
        assert page.input_value("select[name=left]") == place.live, "the live release stands on the left"
        assert page.input_value("select[name=right]") == place.other
        page.get_by_label("Input").fill("<b>where</b> is my kettle")
        page.get_by_role("button", name="Try both").click()
        page.wait_for_selector(".side .said")
        assert page.locator(".side .said").count() == 2 and page.locator(".side .problem").count() == 0
        assert page.locator(".said del").count() and page.locator(".said ins").count()
        figures = page.locator(".side dl").first.inner_text()
        for name in ("time", "tokens", "cost", "log-probability"):
            assert name in figures
        assert "Be kind." in page.locator(".differences").inner_text()
        assert page.input_value("textarea") == "<b>where</b> is my kettle"
        assert '"text":"<b>where</b> is my kettle"' in page.locator(".content.whole").first.inner_text()
        assert page.evaluate("document.querySelector('main b')") is None
        assert {urlsplit(url).netloc for url in page.seen["requests"]} == {urlsplit(place.url).netloc}
        if scripts:
            assert page.evaluate("window.violations") == [] and page.seen["errors"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_answers_are_legible_named_and_fit_a_phone(place: Place, browser: Any, scheme: str) -> None:
    for width in (1280, 360):
        with opened(browser, place.url + "/playground", width=width, scheme=scheme) as page:
            page.get_by_label("Input").fill("where is it " * 5)
            page.keyboard.press("Tab")
            page.get_by_role("button", name="Try both").press("Enter")
            page.wait_for_selector(".side .said")
            poor = page.evaluate(CONTRAST)
            assert poor == [], poor[:5]
            assert page.evaluate(UNNAMED) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_messages_are_tried_and_an_input_that_is_none_is_told_beside_it(place: Place) -> None:
    answer = place.send(**{"as": "messages", "input": '[{"role": "user", "content": "hi"}]'})
    assert answer.status_code == 200 and "no answer" not in answer.text
    wrong = place.send(**{"as": "messages", "input": "[1]"})
    assert wrong.status_code == 400 and "message 0 has the role 1" in wrong.text
    assert ">\n[1]</textarea>" in wrong.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_form_of_another_site_is_refused(place: Place, headers: dict[str, str]) -> None:
    before = place.tries()
    assert place.send(headers=headers).status_code == 403
    assert place.tries() == before


def test_a_form_without_the_consoles_own_token_is_refused(place: Place) -> None:
    before = place.tries()
    for token in ("", "x", "é"):
        assert place.send(token=token).status_code == 403
    assert place.tries() == before


def test_a_foreign_host_name_sends_no_form(place: Place) -> None:
    answer = place.send(headers={"host": "evil.example", "origin": "http://evil.example"})
    assert answer.status_code == 421


def test_a_form_that_is_too_large_or_none_is_refused(place: Place) -> None:
    assert place.send(input="x" * 300_000).status_code == 400
    assert place.send(input="x" * 32_001).status_code == 400
    bare = {"origin": place.url}
    assert httpx.post(place.url + "/playground", json={}, headers=bare).status_code == 400
    assert httpx.post(place.url + "/playground", content=b"\xff", headers=bare).status_code == 400


def test_a_release_that_does_not_exist_is_told(place: Place) -> None:
    assert place.send(left="f00").status_code == 404
    assert httpx.get(place.url + "/playground?left=f00", timeout=30).status_code == 404


def test_a_link_chooses_both_releases(place: Place) -> None:
    record = httpx.get(f"{place.url}/records/{place.other}", timeout=30).text
    assert f'href="/playground?right={place.other}"' in record
    page = httpx.get(f"{place.url}/playground?left={place.other[:12]}&right={place.live[:12]}", timeout=30).text
    chosen = re.findall(r'value="(\w{64})" selected', page)
    assert chosen == [place.other, place.live]


@given(WORDS, WORDS)
def test_marks_leave_each_text_whole_and_the_rest_equal(first: list[str], second: list[str]) -> None:
    left, right = marked_spans(first, second)
    for spans, words in ((left, first), (right, second)):
        assert "".join(text for text, _ in spans) == "".join(words)
    unmarked = ["".join(text for text, differs in spans if not differs).split() for spans in (left, right)]
    assert "".join(unmarked[0]) == "".join(unmarked[1])
    said = [[word.strip() for word in words if word.strip()] for words in (first, second)]
    assert (said[0] == said[1]) == (not any(differs for _, differs in (*left, *right)))


def test_where_no_mark_is_seen_a_sentence_says_why() -> None:
    def note(first: str, second: str, **more: Any) -> str:
        spans = marked_spans(split_words(first), split_words(second))
        return note_on([Tried(name="a", text=first), Tried(name="b", text=second, **more)], spans, marked=True)

    assert note("a b", "a b") == "Both answers are the same."
    assert note("a b", "a\nb") == "The answers differ in blanks alone."
    assert note("a b", "a c") == note("", "", problem="it failed") == ""
    long = [Tried(name="a", text="x y"), Tried(name="b", text="z")]
    assert "too long" in note_on(long, [(("x y", False),), (("z", False),)], marked=False)


def test_words_are_marked_whole_and_in_scripts_without_spaces_each_character() -> None:
    first, second = (split_words(text) for text in ("It comes on Monday.", "It comes  on Friday, surely."))
    left, right = marked_spans(first, second)
    assert left == (("It comes on", False), (" ", False), ("Monday", True), (".", False))
    assert right == (("It comes  on", False), (" ", False), ("Friday, surely", True), (".", False))
    assert split_words("届いた x") == ["届", "い", "た", " x"]


def test_answers_that_repeat_one_word_are_not_compared_for_minutes() -> None:
    stuck, other = ["a"] * 4000, ["a", "b"] * 2000
    assert not can_mark(stuck, other) and can_mark(stuck, stuck)
    assert marked_spans(stuck, stuck) == ((("a" * 4000, False),),) * 2
