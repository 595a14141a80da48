"""What a machine can lack or do to a user: ports, disk, permissions, git, DVC, damaged files. Each with its cure."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from refusals import check_refusal, contents, refused
from small_shop import FLYBALL, Result, eventually, flyball, ok, ok_lines, serving

ROOT = os.geteuid() == 0
WITHOUT_DVC = """\
from importlib.machinery import PathFinder

find = PathFinder.find_spec

def without_dvc(name, *rest):
    return None if name.partition(".")[0] in ("dvc", "ruamel") else find(name, *rest)

PathFinder.find_spec = without_dvc
"""


@contextmanager
def listening() -> Iterator[int]:
    """A port of 127.0.0.1 that somebody else has."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_named_with_its_setting(shop: Path, tmp_path: Path) -> None:
    with listening() as port:
        said = refused("up", "--port", str(port), "--console-port", "0", cwd=shop, code=5)
        assert f"127.0.0.1:{port}" in said and "gateway.port" in said
        said = refused("up", "--port", "0", "--console-port", str(port), cwd=shop, code=5)
        assert f"127.0.0.1:{port}" in said and "console.port" in said
        said = refused("gateway", "--upstream", "http://127.0.0.1:9", "--port", str(port), cwd=tmp_path, code=5)
        assert f"127.0.0.1:{port}" in said and "--port" in said
    assert not (shop / ".flyball/run/supervisor.json").exists()
    assert not (tmp_path / ".flyball-gateway").exists(), "nothing half-written"


def test_another_address_without_a_key_is_refused(shop: Path) -> None:
    said = refused("up", "--host", "0.0.0.0", "--port", "0", cwd=shop, code=3)
    assert "0.0.0.0" in said and "flyball key create" in said


def test_a_second_up_is_refused_and_names_the_first(shop: Path) -> None:
    with serving(shop):
        said = refused("up", "--port", "0", "--console-port", "0", cwd=shop, code=5)
        holder = (shop / ".flyball/run/up.lock").read_text()
        assert "`flyball up`" in said and f"process {holder}" in said
        assert ok("status", cwd=shop)["serving"]["pid"] == int(holder), "the first one is unharmed"


def test_without_git_init_and_run_say_so_and_write_nothing(shop: Path, tmp_path: Path) -> None:
    said = refused("init", "fresh", cwd=tmp_path, code=5, PATH="/nonexistent")
    assert "git is not installed" in said and "apt install git" in said
    assert not (tmp_path / "fresh").exists()
    before = contents(shop, but=(".flyball/run",))
    assert "git is not installed" in refused("run", cwd=shop, code=5, PATH="/nonexistent")
    assert contents(shop, but=(".flyball/run",)) == before


def test_without_dvc_init_and_run_say_what_to_install(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow/sitecustomize.py").write_text(WITHOUT_DVC)
    path = str(tmp_path / "shadow")
    for arguments, folder in ((("init", "fresh"), tmp_path), (("run",), shop)):
        said = refused(*arguments, cwd=folder, code=5, PYTHONPATH=path)
        assert "DVC is not installed" in said and 'pip install "flyball[build' in said
    assert not (tmp_path / "fresh").exists()
    assert flyball("status", cwd=shop, environment={"PYTHONPATH": path}).code == 0, "what needs no DVC works"


UNWRITABLE = {
    "init": ("init", "fresh"),
    "status": ("status", "-C", "shop"),
    "gateway": ("gateway", "--upstream", "http://127.0.0.1:9", "--port", "0", "--config", "gateway.yaml"),
}


@pytest.mark.parametrize("command", UNWRITABLE)
def test_an_unwritable_folder_is_named(command: str, tmp_path: Path) -> None:
    arguments = UNWRITABLE[command]
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/flyball.yaml").write_text("version: 1\nproject: shop\ndata: {sources: [{path: a.jsonl}]}\n")
    (tmp_path / "gateway.yaml").write_text("models: [one]\n")
    with unwritable(tmp_path):
        said = refused(*arguments, cwd=tmp_path, code=5)
    assert str(tmp_path) in said or ".flyball-gateway" in said or "fresh" in said
    assert "cannot be written" in said or "Read-only" in said or "Permission denied" in said


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Nobody can write there: by its mode, or for root, who can always, by mounting it over itself for reading."""
    if not ROOT:
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            path.chmod(0o555)
        yield
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            path.chmod(0o755)
        return
    for options in (["--bind", str(folder), str(folder)], ["-o", "remount,bind,ro", str(folder)]):
        if subprocess.run(["mount", *options], capture_output=True).returncode:
            pytest.skip("root without the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_the_same_command_goes_on_when_there_is_space(shop: Path, tmp_path: Path) -> None:
    with small_disk(shop, tmp_path) as (root, run, more_space):
        said = check_refusal(run("run", "--no-deploy", "--json"), 5)
        assert "No space left" in said or "File too large" in said
        assert "run the same command again" in said
        assert not (root / "loop/training").exists() or (root / "loop/training/record.json").exists()
        more_space()
        done = run("run", "--no-deploy", "--json")
        assert done.code == 0, done.err
        assert "failed" not in done.err, "tracking works again too"


@contextmanager
def small_disk(shop: Path, tmp_path: Path) -> Iterator[tuple[Path, Callable[..., Result], Callable[[], None]]]:
    """An unbuilt project where training cannot be written: its folder, how to run a command there, and more space."""
    root = tmp_path / "small"
    root.mkdir()
    limit: list[int] = [200_000]
    mounted = ROOT and not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", root]).returncode

    def run(*arguments: str) -> Result:
        before = None if mounted else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit[0], -1))
        done = subprocess.run(
            [*FLYBALL, *arguments],
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            preexec_fn=before,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def more_space() -> None:
        limit[0] = -1
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(root)], check=True)

    try:
        for name in ("flyball.yaml", "tickets.jsonl"):
            shutil.copy(shop / name, root / name)
        yield root, run, more_space
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(root)], check=True)


def test_a_damaged_model_is_found_by_name_before_an_engine_serves_it(shop: Path) -> None:
    artifact = next((shop / ".flyball/artifacts").iterdir())
    for model in (shop / "loop/model/model.gguf", artifact / "model.gguf"):
        flip_a_byte(model)
    rows = [row for row in doctor(shop) if not row["ok"]]
    assert [row["check"] for row in rows] == ["models", "build outputs"]
    assert str(artifact.relative_to(shop)) in rows[0]["detail"] and "model.gguf" in rows[0]["detail"]
    assert "loop/model: model.gguf" in rows[1]["detail"] and "flyball package" in rows[1]["cure"]

    stage = flyball("stage", "evaluation", cwd=shop)
    assert stage.code == 5 and "loop/model: model.gguf" in stage.err and "Traceback" not in stage.err
    assert (shop / "loop/evaluation/record.json").is_file(), "what was measured before stays"

    with serving(shop):
        eventually(lambda: ok_lines("deploy", "history", cwd=shop)[0]["state"] == "failed")
        assert "model.gguf" in str(ok_lines("deploy", "history", cwd=shop)[0]["transitions"][-1]["evidence"])

    shutil.rmtree(artifact)
    assert ok("run", cwd=shop)["release"]
    assert all(row["ok"] for row in doctor(shop)), "the cures that doctor names do cure"


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1000] ^= 0xFF
    path.write_bytes(content)


def doctor(root: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in flyball("doctor", "--json", cwd=root).out.splitlines()]  # exits with 5


def test_a_reader_that_has_seen_enough_gets_no_traceback(shop: Path) -> None:
    command = f"{sys.executable} -m flyball schema | head -c 10"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=shop, capture_output=True, text=True)
    assert done.stderr == ""
