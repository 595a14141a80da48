"""Builds that are interrupted, killed, or started twice: nothing half-written, nothing left running, and they go on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from refusals import check_refusal, refused
from small_shop import FLYBALL, Result, eventually, ok


class Build:
    """A `flyball run` under way, in a group of its own, as a terminal starts it."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self.log = root.parent / f"run-{len(list(root.parent.glob('run-*')))}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*FLYBALL, "run", "--no-deploy", *arguments],
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
            )

    def said(self, words: str) -> bool:
        return words in self.log.read_text()

    def wait_for(self, words: str) -> None:
        eventually(lambda: self.said(words) or self.process.poll() is not None, timeout_s=60)
        assert self.process.poll() is None, self.log.read_text()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, timeout_s: float = 30) -> Result:
        out, _ = self.process.communicate(timeout=timeout_s)
        return Result(self.process.returncode, out.decode(), self.log.read_text())


@contextmanager
def build(root: Path, *arguments: str) -> Iterator[Build]:
    running = Build(root, *arguments)
    family: list[psutil.Process] = []
    try:
        yield running
    finally:
        if running.process.poll() is None:
            family = running.family()
            running.process.kill()
        running.process.wait()
        for process in family:
            if process.is_running():
                process.kill()


def gone(family: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


def change(root: Path, old: str, new: str) -> None:
    settings = (root / "flyball.yaml").read_text()
    assert old in settings
    (root / "flyball.yaml").write_text(settings.replace(old, new))


@pytest.mark.parametrize("how", ["ctrl-c", "kill -INT", "kill -KILL"])
def test_a_build_that_is_ended_leaves_nothing_behind(shop: Path, how: str) -> None:
    change(shop, "steps: 30", "steps: 5000")
    with build(shop, "--json") as running:
        running.wait_for("training, loss")
        family = running.family()
        assert len(family) >= 2
        if how == "ctrl-c":
            os.killpg(running.process.pid, signal.SIGINT)
        else:
            running.process.send_signal(getattr(signal, f"SIG{how.split('-')[1]}"))
        result = running.end()
        eventually(lambda: gone(family))
    if how in ("ctrl-c", "kill -INT"):
        said = check_refusal(result, 130)
        assert "interrupted" in said and "the same command goes on" in said
    assert "Traceback" not in result.err
    assert not list((shop / "loop").glob("training*")) and not list((shop / "loop").glob(".*training*"))
    assert (shop / "loop/dataset/record.json").is_file()


def test_after_ctrl_c_the_same_command_goes_on_where_it_was(shop: Path) -> None:
    change(shop, "steps: 30", "steps: 600")  # more than the 5 s after which a log has its first line of it
    with build(shop) as running:
        running.wait_for("training, loss")
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.end().code == 130
    again = ok("run", "--no-deploy", cwd=shop)
    assert again["ran"] == ["training", "model", "release", "evaluation"]
    assert ok("run", "--no-deploy", cwd=shop)["ran"] == []


def test_an_interrupted_evaluation_takes_its_engine_along(shop: Path) -> None:
    change(shop, "slots: 4", "slots: 2")
    with build(shop) as running:
        running.wait_for("starting the engine")
        engines = eventually(lambda: engine_processes(shop))
        os.killpg(running.process.pid, signal.SIGINT)
        assert running.end().code == 130
    eventually(lambda: gone(engines))
    assert ok("run", "--no-deploy", cwd=shop)["ran"] == ["evaluation"]


def engine_processes(root: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if "flyball.serving.engine_server" in line and str(root) in line:
            found.append(process)
    return found


def test_a_second_run_waits_and_names_the_holder(shop: Path) -> None:
    change(shop, "steps: 30", "steps: 5000")
    with build(shop) as first:
        first.wait_for("training, loss")
        said = refused("run", "--no-wait", cwd=shop, code=5)
        assert f"process {first.process.pid}" in said and "a build" in said and "wait" in said
        assert refused("data", "--no-wait", cwd=shop, code=5)
        with build(shop) as second:
            second.wait_for(f"waiting: a build runs in this project already (process {first.process.pid})")
            first.process.kill()
            second.wait_for("training, loss")
            os.killpg(second.process.pid, signal.SIGINT)
            assert second.end().code == 130
