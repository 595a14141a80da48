"""A new kind of engine is one new file and one line: a made-up one goes through the whole serving life."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.request
from pathlib import Path

import pytest

import flyball as package
from small_shop import eventually, flyball, ok, serving
from tiny_gguf import write_tiny_gguf

SERVER = Path(__file__).parents[1] / "support" / "toy_engine_server.py"
FILE = '''"""The toy, a server of its own that greets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flyball.engines.config import StartedConfig
from flyball.engines.kind import PORT, EngineKind, Signs, Start
from flyball.records import JSON, Release


class ToyConfig(StartedConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="toy"):
    """A toy."""

    greeting: str = "Hello"


class Toy(EngineKind):
    """A server that greets."""

    name = "toy"
    config = ToyConfig
    loads = "gguf"
    program = ("no-such-program",)
    signs = Signs(ready="/ready", alive="/ready")

    def stored(self, config: ToyConfig) -> dict[str, JSON]:
        """Its greeting."""
        return {"greeting": config.greeting}

    def started(self, release: Release, *, model: Path, adapter: Path | None, program: Sequence[str]) -> Start:
        """The model's file, a port, the greeting."""
        return Start(command=(*program, str(model), PORT, str(release.engine.flags["greeting"])))


KIND = Toy()
'''
LINE = '    "toy",\n'


@pytest.fixture
def with_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flyball as it is, with the file and the line, for every process that is started from here."""
    copy = tmp_path / "src" / "flyball"
    shutil.copytree(Path(package.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (copy / "engines" / "toy.py").write_text(FILE)
    catalog = copy / "engines" / "catalog.py"
    text = catalog.read_text()
    assert text.count('    "openai",\n') == 1
    catalog.write_text(text.replace('    "openai",\n', f'    "openai",\n{LINE}'))
    first = "import sys\nsys.path.insert(0, {!r})\n"  # before wherever Flyball is installed
    (tmp_path / "sitecustomize.py").write_text(first.format(str(tmp_path / "src")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def ask(gateway: str) -> str:
    body = json.dumps({"model": "desk", "messages": [{"role": "user", "content": "who is there?"}]}).encode()
    request = urllib.request.Request(f"{gateway}/v1/chat/completions", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"])
    except urllib.error.HTTPError as error:
        assert error.code == 503, error.read()
        return ""


@pytest.mark.usefixtures("with_toy")
def test_a_new_kind_of_engine_is_one_new_file_and_one_line(tmp_path: Path) -> None:
    model, root = write_tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "desk"
    ok("init", str(root), "--model", str(model), cwd=tmp_path)
    settings = (root / "flyball.yaml").read_text()
    assert settings.count("kind: llama.cpp") == 1
    settings = settings.replace("kind: llama.cpp", "kind: toy, greeting: Ahoy")
    command = json.dumps([sys.executable, str(SERVER)])
    (root / "flyball.yaml").write_text(f"{settings}\nserving: {{commands: {{toy: {command}}}, liveness_s: 0.2}}\n")
    refused = flyball("init", str(tmp_path / "x"), "--model", "nowhere", cwd=tmp_path)
    assert refused.code == 2

    made = ok("import", str(model), cwd=root)["release"]
    assert made["content"]["engine"] == {
        "kind": "toy",
        "context": 256,
        "slots": 4,
        "threads": 1,
        "flags": {"greeting": "Ahoy"},
    }
    report = ok("evaluate", made["id"], cwd=root)["evaluation"]["content"]  # in an engine of its own
    assert (report["engine"], report["failures"]) == ("toy", 0)
    assert ok("gate", made["id"], cwd=root)["content"]["verdict"] == "pass"
    ok("deploy", made["id"], cwd=root)
    with serving(root) as urls:
        assert eventually(lambda: ask(urls["gateway"])) == "Ahoy, who is there?"
        files = list((root / ".flyball" / "run" / "engines").glob("*.json"))
        assert [json.loads(file.read_bytes())["kind"] for file in files] == ["toy"]
    running = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _says(path, str(SERVER))]
    assert not running and not list((root / ".flyball" / "run" / "engines").glob("*.json"))

    wrong = flyball("up", cwd=root, environment={"PYTHONPATH": ""})
    assert wrong.code == 2 and "release.engine.kind is 'toy', not one of llama.cpp, vllm, openai" in wrong.err


def _says(path: Path, word: str) -> bool:
    try:
        return word in path.read_text()
    except OSError:
        return False
