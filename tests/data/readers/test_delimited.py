"""No record of a delimited file swallows another, and every physical line is accounted for."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.data.config import SourceConfig
from flyball.data.readers.raw_row import MAX_LINE_BYTES, RawRow
from flyball.data.readers.source_rows import look, read_source
from flyball.errors import InputError


def read(path: Path, content: str | bytes, config: SourceConfig | None = None) -> list[RawRow]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_source(path, config))


def plain(count: int, *, quoted: dict[int, str] | None = None) -> list[str]:
    """Lines of text and label, of which some are written otherwise."""
    lines = [f"message number {n} of this file,{'ham' if n % 3 else 'spam'}" for n in range(count)]
    for place, line in (quoted or {}).items():
        lines[place] = line
    return lines


def texts(found: list[RawRow]) -> list[str]:
    return [row.fields["text"] for row in found if row.fields is not None]


def accounted(found: list[RawRow]) -> list[int]:
    return [line for row in found for line in range(row.line, row.line + row.lines)]


@pytest.mark.parametrize(
    "closer",
    [
        'he said "hi" to me,ham',
        'a screen of 15",ham',
        '"quoted, with a comma",ham',
        "nothing closes it,ham",
        '"hello",ham',
        'two "" quotes,ham',
    ],
)
def test_a_text_that_begins_with_a_quote_costs_its_own_line_and_swallows_no_other(tmp_path: Path, closer: str) -> None:
    lines = plain(400, quoted={10: '"Great offer,spam', 150: closer})
    found = read(tmp_path / "a.csv", "text,label\n" + "\n".join(lines) + "\n")
    assert accounted(found) == list(range(2, 402))
    rejected = [(row.line, row.problem) for row in found if row.fields is None]
    assert rejected[0] == (12, "unclosed quote")
    assert len(rejected) <= 2, rejected
    assert all("\n" not in text for text in texts(found))


def test_quotes_that_open_again_and_again_cost_a_line_each(tmp_path: Path) -> None:
    lines = plain(300, quoted={n: f'"open {n},spam' for n in range(5, 300, 20)})
    found = read(tmp_path / "a.csv", "text,label\n" + "\n".join(lines))
    assert accounted(found) == list(range(2, 302))
    assert [row.line for row in found if row.fields is None] == list(range(7, 302, 20))


def test_texts_of_several_lines_stay_whole_whatever_stands_in_them(tmp_path: Path) -> None:
    letters = ["Dear team,\nplease help\n\nAnn", 'she said "no", twice\nand left', "a,b\nc,d\ne,f", "x\n,ham\ny"]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["text", "label"])
    for n in range(60):
        writer.writerow([f"plain words {n}", "ham" if n % 2 else "spam"])
        writer.writerow([letters[n % 4], "ham"])
    found = read(tmp_path / "a.csv", buffer.getvalue())
    assert not [row.detail for row in found if row.fields is None]
    assert texts(found)[1::2] == [letters[n % 4] for n in range(60)]
    assert accounted(found) == list(range(2, 2 + len(accounted(found))))


def test_the_rest_of_a_broken_text_of_several_lines_is_no_row_of_its_own(tmp_path: Path) -> None:
    broken = '"He said "hello" to me\nand then, spam\nhe left",ham'
    found = read(tmp_path / "a.csv", "\n".join(["text,label", *plain(40), broken, *plain(40)]))
    assert len(texts(found)) == 80
    assert [row.line for row in found if row.fields is None] == [42, 43, 44]


@given(
    st.lists(
        st.tuples(st.text(st.sampled_from('ab ,"\n;é'), max_size=12), st.text(st.sampled_from('x,"\n'), max_size=4)),
        min_size=1,
        max_size=12,
    )
)
def test_what_a_csv_writer_writes_is_read_as_it_was(rows: list[tuple[str, str]]) -> None:
    from flyball.data.readers.delimited import CellScanner
    from flyball.data.readers.layout import Layout

    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    scanner, read_back = CellScanner(Layout(format="csv")), []
    scanner.begin()
    for line in buffer.getvalue().split("\n")[:-1]:
        assert scanner.scan(line)
        if scanner.open is None:
            read_back.append(tuple(scanner.cells))
            scanner.begin()
    assert read_back == rows


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("a.csv", ";"), ("a.csv", "\t"), ("a.csv", "|"), ("a.tsv", "\t"), ("a.psv", "|"), ("a.txt", ";")],
)
def test_delimiters_are_seen(tmp_path: Path, name: str, delimiter: str) -> None:
    lines = [
        delimiter.join(["text", "label"]),
        *(delimiter.join([f"words, and words {n}", "ab"[n % 2]]) for n in range(9)),
    ]
    config = SourceConfig(path=name, format="csv")
    found = read(tmp_path / name, "\n".join(lines), config)
    assert texts(found) == [f"words, and words {n}" for n in range(9)]
    assert look(tmp_path / name, config)[0].delimiter == delimiter


def test_excel_names_its_delimiter_in_the_first_line(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", "sep=;\ntext;label\na, b, c;x\n")
    assert [(row.line, row.fields) for row in found] == [(3, {"text": "a, b, c", "label": "x"})]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_are_seen(tmp_path: Path, encoding: str, ending: str) -> None:
    lines = ["text,label", *(f"café über “{n}”,{'ab'[n % 2]}" for n in range(20))]
    found = read(tmp_path / "a.csv", ending.join([*lines, ""]).encode(encoding))
    assert texts(found) == [f"café über “{n}”" for n in range(20)]
    assert accounted(found) == list(range(2, 22))


def test_what_is_set_for_a_source_wins_over_what_is_seen(tmp_path: Path) -> None:
    config = SourceConfig(path="a", encoding="cp1251", delimiter="::", quote="", columns=("text", "label"))
    found = read(tmp_path / "a.csv", '"привет::x\nкак "дела::y\n'.encode("cp1251"), config)
    assert [row.fields for row in found] == [{"text": '"привет', "label": "x"}, {"text": 'как "дела', "label": "y"}]
    with pytest.raises(InputError, match="no encoding 'klingon'"):
        read(tmp_path / "a.csv", "text\n", SourceConfig(path="a", encoding="klingon"))


def test_headers_with_line_breaks_blanks_and_without_names_have_one_line_names(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", '\n,"the\nfull text", label \n1,hello,x\n')
    assert [(row.line, row.fields) for row in found] == [(4, {"column_1": "1", "the full text": "hello", "label": "x"})]


def test_backslashes_before_quotes_escape_them_where_a_file_writes_them_so(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", 'text,label\n"he said \\"hi\\" to me, twice",x\n"a \\\\ b",y\n')
    assert texts(found) == ['he said "hi" to me, twice', "a \\ b"]


def test_a_huge_quoted_text_takes_linear_time_and_is_rejected(tmp_path: Path) -> None:
    body = 'text,label\n"' + "\n".join(["line of words without end " * 5] * 40_000) + '",x\nok,y\n'
    began = time.process_time()
    found = read(tmp_path / "a.csv", body)
    assert time.process_time() - began < 15
    assert len(body) > MAX_LINE_BYTES
    assert texts(found) == ["ok"]
    assert len(accounted(found)) == 40_001
