"""A real TorchServe on loopback ports, with its token authorisation. See `make model-servers`."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flyball.inference.http_client import beside
from flyball.supervision.ports import any_port

PROGRAMS = Path(__file__).parents[2] / ".peers" / "torchserve" / "bin"
_START_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchServe:
    """Where its two APIs answer, and the file of its keys."""

    url: str
    management_url: str
    key_file: Path


def is_installed() -> bool:
    """Whether it can be started here."""
    return (PROGRAMS / "torchserve").is_file() and shutil.which("java") is not None


def archive(store: Path, name: str, version: str, handler: Path) -> str:
    """The name of an archive in the store that holds one version of a model."""
    store.mkdir(exist_ok=True)
    named = f"{name}-{version}"
    command = [str(PROGRAMS / "torch-model-archiver"), "--model-name", named, "--version", version]
    command += ["--handler", str(handler), "--export-path", str(store)]
    subprocess.run(command, check=True, env=_environment(store.parent))
    return f"{named}.mar"


@contextmanager
def torchserve(store: Path, work: Path) -> Iterator[TorchServe]:
    """The server, once it answers; no model is registered."""
    ports = [any_port() for _ in range(5)]
    names = ("inference_address", "management_address", "metrics_address")
    lines = [f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, ports, strict=False)]
    lines += [f"grpc_inference_port={ports[3]}", f"grpc_management_port={ports[4]}"]
    (work / "config.properties").write_text("\n".join(lines))
    command = [str(PROGRAMS / "torchserve"), "--foreground", "--ncs", "--model-store", str(store)]
    command += ["--ts-config", str(work / "config.properties"), "--enable-model-api"]
    with (work / "torchserve.log").open("wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=work, env=_environment(work), start_new_session=True
        )
    found = TorchServe(
        url=f"http://127.0.0.1:{ports[0]}",
        management_url=f"http://127.0.0.1:{ports[1]}",
        key_file=work / "key_file.json",
    )
    try:
        deadline = time.monotonic() + _START_S
        while not (found.key_file.is_file() and _listens(found.management_url)):
            assert server.poll() is None and time.monotonic() < deadline, (work / "torchserve.log").read_text()[-3000:]
            time.sleep(0.2)
        yield found
    finally:
        os.killpg(server.pid, 15)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


def _listens(url: str) -> bool:
    client = beside(url, timeout_s=2)
    try:
        client.get("/ping")  # 400 without a key, which is an answer
    except OSError:
        return False
    finally:
        client.close()
    return True


def _environment(work: Path) -> dict[str, str]:
    logs = str(work / "logs")
    (work / "tmp").mkdir(exist_ok=True)
    own = {"TMPDIR": str(work / "tmp"), "LOG_LOCATION": logs, "METRICS_LOCATION": logs}  # it keeps its pid in TMPDIR
    return {**os.environ, **own, "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
