"""Preparing repairs what exports break, says so, and leaves sound text alone; the same for rows and requests."""

from __future__ import annotations

import subprocess
import sys
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.data.samples.tickets import mojibake
from flyball.errors import ConfigError
from flyball.inference.preparation import PREPARATION, STEPS, TextPreparer, prepare
from flyball.inference.preparation.encoding import repair_encoding
from flyball.inference.preparation.markup import looks_like_markup
from flyball.records import Preparation
from pattern_attacks import SIZE, grows_too_fast

ALL = Preparation(version=PREPARATION, steps=tuple(STEPS))
CHAT = Preparation(version=PREPARATION, steps=("encoding", "characters"))


@pytest.mark.parametrize("text", ["café", "naïve Gonçalves", "it’s “quoted” – yes", "5 € for Łukasz", "日本語 ok", "ß"])
def test_text_read_as_windows_1252_is_repaired_even_when_it_happened_twice(text: str) -> None:
    broken = mojibake(text)
    assert broken != text
    assert repair_encoding(broken) == text
    assert repair_encoding(mojibake(broken)) == text


SOUND = [
    *(
        "plain",
        "café",
        "Ä Ö Ü",
        "€ 5 – “ok”",
        "Ã and Â alone",
        "1 < 2 and 3 > 2",
        "I <3 it",
        "<EMAIL> and <NAME>",
        "R&D",
    ),
    *("„Spaß“", "heiß…", "café…”", "“CAFÉ”", "IRMÃ “Ana”", "AMANHÃ E NÃO", "l’été…", "MÜßE…", "5 °C", "½–¾ £10"),
    *(
        "if a<b and c>d: print(x)",
        "for (i=0; i<n; i++) s>0",
        "vector<int> a; a<b>c",
        "AT&T; R&B;",
        "x <- y <-- z --> w",
    ),
    *("می‌خواهم", "👩‍👩‍👧 ok", "Привет “мир”", "日本語を「テスト」", "ประเทศไทย", "हिन्दी में", "Żółć „ŁÓDŹ”", "ĐÀ NẴNG…"),
]


@pytest.mark.parametrize("text", SOUND)
def test_sound_text_comes_back_as_it_was(text: str) -> None:
    steps = ("encoding", "characters", "whitespace") if "a<b>c" in text else tuple(STEPS)
    assert prepare(text, Preparation(version=1, steps=steps)) == (text, ())


@pytest.mark.parametrize(
    ("dirty", "cleaned", "steps"),
    [
        ("<p>Hello <b>you</b></p>", "Hello you", ("markup", "whitespace")),
        ("a &lt; b &amp;amp; c", "a < b & c", ("markup",)),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold", ("markup", "whitespace")),
        ("<script>alert(1)</script>ok", "ok", ("markup", "whitespace")),
        ('<a href="http://x.org/?a=1" target=_blank>here</a><br/>', "here", ("markup", "whitespace")),
        ("<input type='text' disabled> in", "in", ("markup", "whitespace")),
        ("<!-- a <b> --> x <!-- open", "x <!-- open", ("markup", "whitespace")),
        ("nul\x00 and z\u200bero", "nul and zero", ("characters",)),
        ("  many   spaces\t\r\n\n\n lines ", "many spaces\nlines", ("whitespace",)),
        ("e\u0301", "é", ("encoding",)),
        ("lone \ud800 surrogate", "lone surrogate", ("characters", "whitespace")),
        ("\x93quoted\x94 \x96 it\x92s 5 \x80", "“quoted” – it’s 5 €", ("encoding",)),
        ("one\x0ctwo", "one\ntwo", ("characters",)),
        ("GroÃŸ und „Spaß“", "Groß und „Spaß“", ("encoding",)),
        ("Gr\u00c3\u009f", "Grß", ("encoding",)),
    ],
)
def test_each_step_repairs_and_names_itself(dirty: str, cleaned: str, steps: tuple[str, ...]) -> None:
    assert prepare(dirty, ALL) == (cleaned, steps)


def test_a_conversation_keeps_its_white_space_and_what_looks_like_markup() -> None:
    code = "```python\nif a<b and c>d:\n\n    return '<b>'\t&amp;\n```\n\n  done "
    assert prepare(code, CHAT) == (code, ())
    assert prepare(f"\x00{code}e\u0301", CHAT) == (f"{code}é", ("encoding", "characters"))


PIECES = st.sampled_from(
    [
        *("&amp;", "amp;", "&", "lt;", "gt;", "#38;", "<", ">", "b", "<b", "</b>", "<!--", "-->", "<script>", "\u200b"),
        *("Ã", "©", "ƒ", "\x93", "\x85", "e", "\u0301", " ", "\n", "\t", "\x00", "\x0c", "“", "ß", "й", "\ud800", "a="),
    ]
)


@given(st.text() | st.text(alphabet="<>&;bpé Ãƒ©â€™altm#x26\n\t\x00") | st.lists(PIECES, max_size=30).map("".join))
def test_preparing_twice_is_preparing_once(text: str) -> None:
    for preparation in (ALL, CHAT, Preparation(version=1, steps=ALL.steps, max_characters=9)):
        once, _ = prepare(text, preparation)
        assert prepare(once, preparation) == (once, ())


@pytest.mark.parametrize("outer", ["&amp;", "&#38;", "&lt;", "&am\u200bp;", "<b<b>"])
def test_what_is_nested_deeper_than_people_nest_it_ends_all_the_same(outer: str) -> None:
    text = outer * 500 + "amp;" * 500 + ">" * 500
    once, steps = prepare(text, ALL)
    assert "markup" in steps
    assert prepare(once, ALL) == (once, ())


def test_a_text_is_cut_after_the_most_characters() -> None:
    shorter = Preparation(version=1, steps=tuple(STEPS), max_characters=5)
    assert prepare("one two three", shorter) == ("one t", ("cut",))
    assert prepare("<b>one</b>", shorter) == ("one", ("markup", "whitespace"))
    assert prepare("four five", shorter) == ("four", ("cut",))


def test_a_preparation_of_a_later_version_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not know the preparation"):
        TextPreparer(Preparation(version=PREPARATION + 1, steps=()))
    with pytest.raises(ConfigError, match="spelling"):
        TextPreparer(Preparation(version=PREPARATION, steps=("spelling",)))


@pytest.mark.parametrize("text", ["<p>a", "x<br>y", "a &amp; b", "</div>", '<a href="x">'])
def test_markup_is_known_by_its_tags_and_entities(text: str) -> None:
    assert looks_like_markup(text)


@pytest.mark.parametrize("text", ["a<b and c>d", "<EMAIL>", "<3", "R&D; x", "List<String>", "if (a<p) && b>i", "<-->"])
def test_comparisons_and_placeholders_are_no_markup(text: str) -> None:
    assert not looks_like_markup(text)


ATTACKS = ["<!--", "<script>", "<style>", "</script", "<b ", "<a href='", "&amp;", "amp;", "&am", "<b a=b ", "Ã"]
ATTACKS += [
    "ÃƒÂ",
    "Ã€",
    "\u0301",
    "e\u0301",
    "\x93",
    " \n",
    "\t\n",
    "\u200b",
    "&#38;#38;",
    "&lt;b&gt;",
    "â€",
    "<b<",
    '="',
    "À ",
]


@pytest.mark.parametrize("piece", ATTACKS)
def test_preparing_takes_linear_time(piece: str) -> None:
    def all_steps(text: str) -> object:
        return prepare(text, ALL)

    for text in (piece * SIZE, "<!-- " + piece * SIZE, "&" + piece * SIZE, "<a b='" + piece * SIZE):
        assert not grows_too_fast(all_steps, text[:SIZE])


def test_most_texts_cost_next_to_nothing() -> None:
    prepared = TextPreparer(ALL)
    text = "I am still waiting for my card, where is it? It was sent ten days ago."
    best_s = min(timeit.repeat(lambda: prepared(text), number=500, repeat=20)) / 500
    assert best_s < 2e-6


def test_plain_ascii_never_loads_what_repairs_encodings() -> None:
    program = (
        "import sys; from flyball.inference.preparation import prepare; from flyball.records import Preparation;"
        "p = Preparation(version=1, steps=('encoding', 'markup', 'characters', 'whitespace'));"
        "prepare('plain <b>', p); prepare('schön', p); a = 'ftfy' in sys.modules; prepare('schÃ¶n', p);"
        "print(a, 'ftfy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False True\n"
