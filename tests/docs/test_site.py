"""The documentation site builds offline without a warning, and each link in it leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check(site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "docs/check_site.py", site], capture_output=True, text=True)


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", "docs", ".", tmp_path]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    checked = check(tmp_path)
    assert checked.returncode == 0, checked.stdout


def test_a_dead_link_a_missing_anchor_and_a_foreign_font_are_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="https://fonts.example/a.css"><script src="//cdn.example/b.js"></script>'
        '<a href="gone.html">x</a><a href="#gone">x</a><a href="https://elsewhere.example">fine</a>'
    )
    (tmp_path / "own.css").write_text("@import 'https://fonts.example/c.css'; a { background: url(own.png) }")
    checked = check(tmp_path)
    assert checked.returncode == 1
    assert len(checked.stdout.splitlines()) == 5, checked.stdout
    for said in ("a.css from elsewhere", "b.js from elsewhere", "gone.html", "#gone", "c.css from elsewhere"):
        assert said in checked.stdout
