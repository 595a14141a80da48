"""The page "Add an engine, a source, a suite, …", followed to the letter (engines: tests/engines)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import flyball as package

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "extend.md").read_text(encoding="utf-8")
TRIES = """
from pathlib import Path
from flyball.data.readers.source_rows import read_source
from flyball.evaluation.case_answers import Answer
from flyball.evaluation.scorer import measure_suites, score_suite
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.suites.suite import Suite

folder = Path.cwd()
rows = [(row.fields, row.problem) for row in read_source(folder / "a.riddle")]
assert rows == [({"question": "What has keys but no locks?", "answer": "a piano"}, ""), (None, "no riddle")], rows
suite = load_suite("riddles:a.jsonl", dataset_dir=None, root=folder)
answers = {item.key: Answer(key=item.key, total_ms=1.0, text="word " * 11) for item in suite.items}
brief = Suite(name="brief", kind="brevity", items=suite.items)
scores = [*score_suite(suite, answers, classification=False), *score_suite(brief, answers, classification=False)]
found = {(one.suite, one.name): one.value for one in measure_suites([suite, brief], scores, level=0.95)}
assert found["riddles-a", "exact_match"] == 0.0 and found["brief", "brevity"] == 0.0, found
"""


def section(title: str) -> str:
    """One section of the page."""
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def follow(copy: Path, title: str, place: str, name: str) -> None:
    """Write the section's file and add the one line that it asks for."""
    (block,) = re.findall(r"```python\n(.*?) *```", section(title), re.DOTALL)
    (copy / place / f"{name}.py").write_text(dedent(block))
    catalog = copy / place / "catalog.py"
    assert f"src/flyball/{place}/catalog.py" in section(title), "the page names the table"
    text = catalog.read_text()
    text = text.replace("annotations\n", f"annotations\n\nfrom flyball.{place.replace('/', '.')} import {name}\n", 1)
    if place == "data/readers":
        text = text.replace("for module in (", f"for module in ({name}, ")
    else:
        text = re.sub(r"(_FAMILIES[^=\n]*= \(\n)", rf"\1    {name}.FAMILY,\n", text)
    catalog.write_text(text)


@pytest.mark.parametrize("title", ["A source", "A suite", "A measure"])
def test_each_step_names_one_file_and_one_table(title: str) -> None:
    assert len(re.findall(r"```python", section(title))) == 1
    assert section(title).count("catalog.py") == 1


def test_a_source_a_suite_and_a_measure_added_as_the_page_says_work(tmp_path: Path) -> None:
    copy = tmp_path / "src" / "flyball"
    shutil.copytree(Path(package.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    follow(copy, "A source", "data/readers", "riddles")
    follow(copy, "A suite", "evaluation/suites", "riddles")
    follow(copy, "A measure", "evaluation/measures", "brevity")
    (tmp_path / "a.riddle").write_text("What has keys but no locks?|a piano\nno bar here\n")
    (tmp_path / "a.jsonl").write_text('{"question": "What has keys but no locks?", "answer": "a piano"}\n')
    first = f"import sys; sys.path.insert(0, {str(tmp_path / 'src')!r})\n"  # before wherever Flyball is installed
    done = subprocess.run([sys.executable, "-c", first + TRIES], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
