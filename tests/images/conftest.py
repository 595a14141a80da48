"""A Docker daemon of the tests' own, with its data in a temporary folder, and the image that the Dockerfile makes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASE = "python:3.11-slim-bookworm"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
CLOSED = ("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")


@dataclass(frozen=True)
class Docker:
    """The client of one daemon."""

    socket: Path

    def __call__(self, *arguments: str, timeout_s: float = 120, check: bool = True) -> str:
        done = subprocess.run(
            ["/usr/bin/docker", "--host", f"unix://{self.socket}", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
        )
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
        return (done.stdout + done.stderr).strip()

    def answers(self) -> bool:
        """Whether the daemon is there."""
        return "Server Version" in self("info", check=False)


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A daemon, ended with the tests."""
    if os.getuid() != 0 or not shutil.which("dockerd") or not shutil.which("mmdebstrap"):
        pytest.skip("needs root, dockerd and mmdebstrap: apt-get install docker.io mmdebstrap")
    home = tmp_path_factory.mktemp("docker")
    client = Docker(home / "docker.sock")
    command = ["dockerd", *CLOSED, f"--host=unix://{client.socket}", f"--pidfile={home / 'pid'}"]
    with (home / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [*command, f"--data-root={home / 'data'}", f"--exec-root={home / 'exec'}"], stdout=log, stderr=log
        )
    try:
        end = time.monotonic() + 40
        while not client.answers():
            if daemon.poll() is not None or time.monotonic() > end:
                pytest.skip(f"dockerd cannot run here: {(home / 'log').read_text()[-300:]}")
            time.sleep(0.5)
        yield client
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)


@pytest.fixture(scope="session")
def image(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The serving image, on a base of Debian's packages: no registry is asked for one."""
    archive = tmp_path_factory.mktemp("base") / "base.tar"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(archive)],
        check=True,
        timeout=300,
    )
    docker("import", str(archive), BASE)
    authority = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    secret = f"--secret=id=ca,src={authority}"
    docker("build", "--network=host", "--target=serve", secret, "--tag=flyball:test", str(ROOT), timeout_s=600)
    return "flyball:test"
