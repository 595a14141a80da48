"""Erasing a person takes every page of a report that shows a text of that person."""

from __future__ import annotations

from pathlib import Path

from flyball.compliance.subjects import Person
from flyball.evaluation.reports.files import read_report
from flyball.wiring import open_project
from flyball.workflows.erase import ReportEraser
from flyball.workflows.record_intake import rows_of


def test_the_html_page_of_a_report_goes_too_though_it_names_no_row(shop: Path) -> None:
    project = open_project(shop)
    try:
        document = read_report(project.places.evaluation / "report.json")
        shown = {one.item.split("/")[0] for one in document.details.label_examples}
        rows = {row.row: row.subject for row in rows_of(project, str(document.report.dataset))}
        hashed = next(subject for item in shown if (subject := rows.get(item)))
        eraser = ReportEraser(project=project)
        person = Person(subject="someone", hash=hashed)
        kept = project.places.reports / document.id
        assert kept / "report.html" in eraser.pages(person)
        eraser.apply(person)
        assert sorted(path.name for path in kept.iterdir()) == ["items.jsonl", "model_card.md", "report.md"]
    finally:
        project.close()
