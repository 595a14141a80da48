"""What the repository promises about itself, checked over every tracked file."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "manager", "managers", "service", "services", "base"}


def tracked() -> list[Path]:
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in found.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_module_says_what_it_is_for_and_names_it(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(module), f"{path} has no docstring"
    assert path.stem not in FORBIDDEN_NAMES


def test_no_file_is_more_than_one_room() -> None:
    long = {str(path.relative_to(ROOT)): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 400}
    assert not long, f"over 400 lines: {long}"


def test_the_environment_is_read_in_settings_alone() -> None:
    pattern = re.compile(r"os\.(environ|getenv)")
    readers = {str(path.relative_to(ROOT / "src/flyball")) for path in SOURCES if pattern.search(path.read_text())}
    passed_on = {"settings.py", "wiring.py", "dvc/repositories.py"}
    passed_on |= {"workflows/up.py", "serving/command_engine.py"}  # to children
    passed_on |= {
        "references.py",
        "serving/engine_access.py",
    }  # ${VARIABLE} and env:NAME; to children
    passed_on |= {"serving/gpus.py"}  # CUDA's own variable, which engines inherit
    passed_on |= {"training/tracking_store.py", "workflows/stage.py"}  # set what MLflow and OpenMP read
    assert readers <= passed_on, f"these read the environment: {readers - passed_on}"


def test_nothing_tracked_is_large_or_names_a_machine() -> None:
    home = re.compile(r"(?<![\w.])/(?:work|farm|root|home/[a-z]+)/")
    for path in tracked():
        assert path.stat().st_size < 1_000_000, f"{path} is over 1 MB"
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".html", ".js", ".css", ".sh"}:
            text = path.read_text(encoding="utf-8")
            assert not home.search(text), f"{path} has an absolute path of one machine"


def test_constraints_store_versions_and_no_address() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert lines and all(re.fullmatch(r"[A-Za-z0-9._-]+==[\w.!+]+", line) for line in lines)


def test_pickle_is_never_loaded() -> None:
    loaders = re.compile(r"\bpickle\.load|torch\.load\(|\bjoblib\.load|\bdill\.|yaml\.load\([^)]*Loader=yaml\.Loader")
    guilty = [str(path.relative_to(ROOT)) for path in SOURCES if loaders.search(path.read_text())]
    assert not guilty


REACHED_FROM_ELSEWHERE = {
    "tickets": "demo/demo.py plays customers",
    "write_poisoned": "demo/demo.py shows the gate a bad source",
    "stop_all": "tests stop engines, which outlive who started them",
    "generalised": "docs/how-to/bias.md shows it",
    "consistency": "docs/how-to/bias.md shows it",
    "weights_of": "docs/how-to/bias.md shows it",
    "group_thresholds": "docs/how-to/bias.md shows it",
    "exposure": "docs/how-to/safety.md shows it",
    "planted_rows": "docs/how-to/safety.md shows it",
    "upgrade": "Alembic calls it by name",
    "downgrade": "Alembic calls it by name",
}


def names_in(node: ast.AST) -> set[str]:
    """Every name that code under `node` reads, also as an attribute or under another name."""
    found = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    found |= {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
    return found | {one.name for one in ast.walk(node) if isinstance(one, ast.alias) and one.asname}


def test_src_reaches_every_function_and_class_in_it() -> None:
    """By name, from what modules do on import, from click's commands and from templates; tests do not count."""
    defined: list[tuple[str, str, set[str]]] = []
    reached = set(REACHED_FROM_ELSEWHERE)
    for template in (ROOT / "src").rglob("*.html"):
        reached |= set(re.findall(r"[A-Za-z_]\w*", template.read_text()))
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                reached |= names_in(node)
                continue
            defined.append((node.name, f"{path.relative_to(ROOT)}:{node.lineno}", names_in(node)))
            decorators = [ast.unparse(one) for one in node.decorator_list]
            if any(re.search(r"\.(command|group)\(", one) for one in decorators):
                reached.add(node.name)
    waiting = defined
    while found := [one for one in waiting if one[0] in reached]:
        waiting = [one for one in waiting if one[0] not in reached]
        reached |= {name for _, _, names in found for name in names}
    assert not waiting, f"nothing in src reaches these: {[(name, where) for name, where, _ in waiting]}"
    needless = set(REACHED_FROM_ELSEWHERE) - {name for name, _, _ in defined}
    assert not needless, f"these are gone: {needless}"


def imports_of(path: Path, modules: set[str]) -> set[str]:
    """Which of `modules` a module names in any import: at its top, in functions, or for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{one.name}" for one in node.names}
            found |= {name if name in modules else node.module for name in inner}
    return found & modules


def test_no_module_reaches_itself_by_its_imports() -> None:
    """Also not by way of TYPE_CHECKING or of an import in a function: two files in a circle are one file."""
    names = {".".join(path.relative_to(ROOT / "src").with_suffix("").parts): path for path in SOURCES}
    paths = {name.removesuffix(".__init__"): path for name, path in names.items()}
    left = {name: imports_of(path, set(paths)) - {name} for name, path in paths.items()}
    while free := [name for name, imported in left.items() if not imported & set(left)]:
        for name in free:
            del left[name]
    in_circle = {name for imported in left.values() for name in imported} & set(left)
    assert not in_circle, f"these import each other: {sorted(in_circle)}"


def test_each_test_module_has_a_name_of_its_own() -> None:
    """Without packages in tests/, pytest imports modules by name: two of one name stop the whole run."""
    names = [path.name for path in tracked() if path.name.startswith("test_") and path.suffix == ".py"]
    assert sorted(names) == sorted(set(names))


def test_what_tests_share_lies_in_one_folder() -> None:
    folders = {path for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")}
    outside = {path for path in folders if path.relative_to(ROOT / "tests").parts[0] != "support"}
    strays = [str(path) for path in outside if not path.name.startswith("test_") and path.name != "conftest.py"]
    assert not strays, f"move these to tests/support: {strays}"
