"""`flyball compare` and `flyball release diff`: what changed between two evaluations, and between two releases."""

from __future__ import annotations

import dataclasses
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chat_server import chat_server
from flyball.evaluation.item_scores import items_hash, read_items, write_items
from flyball.evaluation.reports.files import read_report, write_report
from flyball.records import EvalReport, Release, name_of
from flyball.wiring import open_project
from small_shop import flyball

LABELS = ("card", "refund")
SECRET = "jane.doe@example.com"


def cases_file(folder: Path, rows: int = 120) -> Path:
    lines = [
        {
            "text": f"case {k} about {LABELS[k % 2]} <b>|</b>" + (f" from {SECRET}" if k == 4 else ""),
            "label": LABELS[k % 2],
            "language": ("de", "en")[k % 4 // 2],
        }
        for k in range(rows)
    ]
    path = folder / "cases.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def measured(folder: Path, name: str, wrong: Any, cases: Path) -> None:
    """Evaluate a server that answers these numbers of cases with the other label."""

    def answer(text: str, _n: int) -> str:
        number, label = int(text.split()[1]), text.split()[3]
        return LABELS[1 - LABELS.index(label)] if wrong(number) else label

    with chat_server(answer) as server:
        done = flyball("evaluate", server.url, "--suite", str(cases), "--out", name, cwd=folder)
    assert done.code == 0, done.err


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """`a` gets 30 cases wrong; `b` only 4, one of which `a` had right."""
    cases = cases_file(tmp_path)
    measured(tmp_path, "a", lambda n: n % 4 == 0, cases)
    measured(tmp_path, "b", lambda n: n in (0, 4, 8, 9), cases)
    return tmp_path


def test_differences_are_paired_and_carry_intervals(both: Path) -> None:
    done = flyball("compare", "a", "b", "--json", cwd=both)
    assert done.code == 0, done.err
    (one,) = json.loads(done.out)["comparisons"]
    rows = {(row["measure"], row["slice"]): row for row in one["differences"]}
    exact = rows["exact_match", None]
    assert (exact["first"], exact["second"]) == (0.75, pytest.approx(116 / 120))
    assert (exact["higher"], exact["less"], exact["n"], exact["method"]) == (27, 1, 120, "Tango")
    assert exact["difference"] == pytest.approx(26 / 120) and 0.1 < exact["lower"] < 26 / 120 < exact["upper"]
    assert rows["recall", "card"]["n"] == 60 and rows["recall", "refund"]["difference"] == pytest.approx(-1 / 60)
    assert rows["macro_f1", None]["lower"] > 0 and rows["errors", None]["difference"] == 0.0
    assert rows["latency_ms", None]["method"] == "Student's t"
    assert len(one["flips"]) == 28 and one["flips"][0]["second"]["score"] == 0.0  # what became worse is first
    assert {"card", "refund"} == {one["flips"][0]["first"]["answer"], one["flips"][0]["second"]["answer"]}


def test_texts_of_flips_are_redacted_and_come_from_the_suite_where_it_is_there(both: Path) -> None:
    known = json.loads(flyball("compare", "a/report.json", "b", "--json", cwd=both).out)["comparisons"][0]["flips"]
    assert all(flip["text"] for flip in known)  # of the examples in the reports
    done = flyball("compare", "b", "a", "b", "--suite", "cases.jsonl", "--out", "page.html", cwd=both)
    assert done.code == 0 and "slices that differ" in done.out and "Cases that changed: 27 lower, 1 higher" in done.out
    page = (both / "page.html").read_text()
    assert "<script" not in page and "<b>" not in page and SECRET not in page and "case 4 about" not in page
    assert "case 12 about card" in page and page.count("<h2") >= 4
    assert flyball("compare", "a", "b", "--out", "new/page.md", cwd=both).code == 0
    text = (both / "new/page.md").read_text()
    assert "| Suite | Measure |" in text and "<b>" not in text and SECRET not in text


def test_other_cases_are_refused_by_the_name_of_the_suite(both: Path) -> None:
    measured(both, "c", lambda n: False, cases_file(both, rows=40))
    done = flyball("compare", "a", "c", cwd=both)
    assert done.code == 2 and "suite cases has other cases (120 and 40)" in done.err and "flyball evaluate" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("a", "missing/report.json"), 4, "no report at missing/report.json"),
        (("a", "b", "--out", "page.pdf"), 2, "neither in .html nor in .md"),
        (("a",), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_compared_is_named(both: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = flyball("compare", *arguments, cwd=both)
    assert done.code == code and said in done.err, done.err


def test_scores_that_are_not_those_of_the_report_are_refused(both: Path) -> None:
    lines = (both / "a/items.jsonl").read_bytes().splitlines(keepends=True)
    (both / "a/items.jsonl").write_bytes(b"".join(lines[1:]))
    done = flyball("compare", "a", "b", cwd=both)
    assert done.code != 0 and "does not hold the scores of the report" in done.err


def test_a_report_is_also_markdown_with_the_bound_that_decided(tmp_path: Path) -> None:
    cases = cases_file(tmp_path)
    (tmp_path / "gate.yaml").write_text("rules:\n- {measure: exact_match, at_least: 0.9}\n")
    with chat_server(lambda text, _n: "card") as server:
        arguments = ("--suite", str(cases), "--gate", "gate.yaml", "--out", "out")
        done = flyball("evaluate", server.url, *arguments, cwd=tmp_path)
    assert done.code == 3
    text = (tmp_path / "out/report.md").read_text()
    assert "❌ fail" in text.splitlines()[0]
    assert "| cases.exact\\_match | at least 0.9 | 0.500 | 0.421 | 120 | ❌ fail |" in text
    assert "| cases | recall | refund | 0.000 |" in text and "about" not in text and len(text) < 3000


def other_release(shop: Path, **changes: Any) -> tuple[str, str]:
    """Put a changed release into the ledger, with a report on which five cases got worse; both names."""
    with closing(open_project(shop)) as project:
        (stored,) = project.ledger.find(Release)
        assert isinstance(stored.record, Release)
        changed = dataclasses.replace(stored.record, **changes)
        project.ledger.append(changed)
        (kept,) = project.ledger.find(EvalReport)
        document = read_report(project.places.reports / kept.id / "report.json")
        items, left = [], 5
        for item in read_items(project.places.reports / kept.id / "items.jsonl"):
            if left and item.measure == "exact_match" and item.score == 1.0:
                item, left = msgspec.structs.replace(item, score=0.0), left - 1
            items.append(item)
        report = dataclasses.replace(document.report, release=name_of(changed), items_hash=items_hash(items))
        folder = project.places.reports / name_of(report)
        folder.mkdir()
        write_items(folder / "items.jsonl", items)
        write_report(folder, report, document.details)
        project.ledger.append(report)
        return stored.id, name_of(changed)


def test_releases_of_a_project_are_compared_and_told_apart(shop: Path) -> None:
    a, b = other_release(shop, system_prompt="Answer with one word.\nNo more.", sampling={"temperature": 0.7})
    done = flyball("compare", a[:12], b[:12], "--json", cwd=shop)
    assert done.code == 0, done.err
    (one,) = json.loads(done.out)["comparisons"]
    row = next(row for row in one["differences"] if row["measure"] == "exact_match" and row["slice"] is None)
    assert row["higher"] == 0 and 1 <= row["less"] <= 5 and row["difference"] < 0
    assert len(one["flips"]) == row["less"] and all(flip["text"] for flip in one["flips"])  # of the dataset

    found = json.loads(flyball("release", "diff", a[:12], b[:12], "--json", cwd=shop).out)
    fields = {row["field"]: row for row in found["fields"]}
    assert {"system_prompt", "sampling.temperature"} <= set(fields) and not found["same"]
    assert fields["system_prompt"]["part"] == "prompt" and fields["system_prompt"]["second"].endswith("No more.")
    text = flyball("release", "diff", a[:12], b[:12], cwd=shop).out
    assert "→ 0.7" in text and "+Answer with one word." in text
    assert "the same release" in flyball("release", "diff", a, a[:8], cwd=shop).out
    done = flyball("release", "diff", a, "0123456789", cwd=shop)
    assert done.code == 4 and "no record 0123456789" in done.err


def test_a_release_that_was_not_measured_is_named_with_the_cure(shop: Path) -> None:
    with closing(open_project(shop)) as project:
        (stored,) = project.ledger.find(Release)
        assert isinstance(stored.record, Release)
        name = name_of(dataclasses.replace(stored.record, system_prompt="new"))
        project.ledger.append(dataclasses.replace(stored.record, system_prompt="new"))
    done = flyball("compare", stored.id, name[:12], cwd=shop)
    assert done.code == 4 and f"flyball evaluate {name[:12]}" in done.err
