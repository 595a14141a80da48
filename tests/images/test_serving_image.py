"""The serving image, built and run by a real Docker daemon with as few rights as it can have."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from conftest import BASE, Docker  # type: ignore[import-not-found]
from flyball.rollout.deployments import request_deployment
from flyball.supervision.ports import any_port
from served import FLYBALL, NAME, add_release, make_project

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
USER = 10001
RIGHTS = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=512m")


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.5)


@contextmanager
def container(docker: Docker, image: str, folder: Path) -> Iterator[tuple[str, int]]:
    """Its name and the published port."""
    port = any_port()
    name = docker("run", "--detach", *RIGHTS, f"--publish=127.0.0.1:{port}:8080", f"--volume={folder}:/project", image)
    name = name.splitlines()[0]
    try:
        yield name, port
    finally:
        docker("rm", "--force", name)


def ask(port: int, key: str) -> str:
    """An answer of the release, through the client that people use."""
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0, timeout=20)
    answer = client.chat.completions.create(model=NAME, messages=[{"role": "user", "content": "hi"}], max_tokens=4)
    return answer.id


def is_answered(port: int, key: str) -> bool:
    try:
        return bool(ask(port, key))
    except openai.OpenAIError:
        return False


def recorded(folder: Path) -> int:
    done = subprocess.run(
        [*FLYBALL, "requests", "--json", "--limit", "1000"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return len(done.stdout.splitlines())


def test_it_serves_with_no_rights_survives_kill_9_and_drains_on_sigterm(
    docker: Docker, image: str, tmp_path: Path
) -> None:
    project = make_project(tmp_path / "shop")
    release = add_release(project, "one")
    request_deployment(
        project.ledger,
        project=NAME,
        route=NAME,
        release=release,
        strategy="blue-green",
        plan={},
        requested_by="local",
        reason="the first",
    )
    made = subprocess.run(
        [*FLYBALL, "key", "create", "ops", "--json"], cwd=project.root, capture_output=True, text=True, check=True
    )
    key = json.loads(made.stdout)["secret"]
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(project.root)], check=True)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        os.chmod(parent, parent.stat().st_mode | 0o055)  # noqa: PTH101 - the container's user must reach the folder
    with container(docker, image, project.root) as (name, port):
        wait_for(lambda: is_answered(port, key), docker("logs", name))
        assert docker("exec", name, "id", "-u") == str(USER)
        with pytest.raises(openai.AuthenticationError):
            ask(port, "none")
        state = "{{.State.Health.Status}}"
        wait_for(lambda: docker("inspect", "--format", state, name) == "healthy", "it never became healthy")
        docker("kill", "--signal=KILL", name)
    with container(docker, image, project.root) as (name, port):
        wait_for(lambda: is_answered(port, key), docker("logs", name))
        for _ in range(20):
            ask(port, key)
        began = time.monotonic()
        docker("stop", "--time=30", name)
        assert time.monotonic() - began < 20
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    assert recorded(project.root) >= 22  # 20, and the first answer of each container


def test_it_holds_no_compiler_no_pip_and_no_secret(docker: Docker, image: str) -> None:
    found = docker(
        "run", "--rm", "--entrypoint=sh", image, "-c", "ls /opt/flyball/bin; ls /run/secrets; which gcc cc make; true"
    )
    programs = found.split()
    assert "flyball" in programs and not {"pip", "pip3", "/usr/bin/gcc", "/usr/bin/cc", "/usr/bin/make"} & set(programs)
    assert "'/run/secrets': No such file" in found
    history = docker("history", "--no-trunc", image)
    assert "PRIVATE" not in history and "index-url" not in history


def test_its_size_over_the_base_is_what_the_docs_say(docker: Docker, image: str) -> None:
    def size(of: str) -> float:
        return int(docker("inspect", "--format", "{{.Size}}", of)) / 1e6

    assert 100 < size(image) - size(BASE) < 330
