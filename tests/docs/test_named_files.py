"""Every file of the repository that a page names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
NAMED = re.compile(r"(?<![\w/.:$-])((?:[a-z_-]+/)+[a-z_0-9-]+\.(?:py|md|yaml|sh))\b")
OF_PROJECTS = ("loop/", ".flyball/", "pos/", "neg/")
PLACES = ("", "src/flyball/", "src/flyball/gateway/", "src/flyball/evaluation/")


def test_each_file_that_a_page_names_is_there() -> None:
    named = {(page, name) for page in PAGES for name in NAMED.findall(page.read_text(encoding="utf-8"))}
    assert len(named) > 20
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page, name in sorted(named)
        if not name.startswith(OF_PROJECTS)
        if not any((base / name).exists() for base in (page.parent, *(ROOT / place for place in PLACES)))
    ]
    assert not missing
