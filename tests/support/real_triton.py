"""A real Triton Inference Server on a loopback port, with a model in its Python backend. See `make model-servers`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flyball.supervision.ports import any_port

ENVIRONMENT = Path(__file__).parents[2] / ".peers" / "triton"
_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
_PACKAGES = ENVIRONMENT / "lib" / f"python{_VERSION}" / "site-packages"
_SERVER = _PACKAGES / "pytriton" / "tritonserver"
_CONFIG = """
backend: "python"
max_batch_size: 0
input [{name: "text" data_type: TYPE_STRING dims: [1]}]
output [{name: "label" data_type: TYPE_STRING dims: [1]}, {name: "scores" data_type: TYPE_FP32 dims: [LABELS]}]
version_policy: {all {}}
instance_group [{count: 1 kind: KIND_CPU}]
"""


def is_installed() -> bool:
    """Whether it can be started here."""
    return (_SERVER / "bin" / "tritonserver").is_file() and bool(_python_library())


def add_version(repository: Path, model: str, version: int, code: str, *, labels: int) -> None:
    """A version of a model, whose code is Triton's `TritonPythonModel`."""
    folder = repository / model
    (folder / str(version)).mkdir(parents=True)
    (folder / str(version) / "model.py").write_text(code)
    (folder / "config.pbtxt").write_text(f'name: "{model}"\n{_CONFIG.replace("LABELS", str(labels))}')


@contextmanager
def triton(repository: Path, work: Path) -> Iterator[str]:
    """Its URL, once it is ready; no model is loaded."""
    backends = work / "backends"
    shutil.copytree(_SERVER / "backends", backends)
    stub = backends / "python" / "triton_python_backend_stub"
    shutil.copyfile(_SERVER / "python_backend_stubs" / _VERSION / stub.name, stub)
    program = work / "tritonserver"
    shutil.copyfile(_SERVER / "bin" / "tritonserver", program)
    stub.chmod(0o755), program.chmod(0o755)
    port = any_port()
    command = [str(program), f"--model-repository={repository}", f"--backend-directory={backends}"]
    command += ["--http-address=127.0.0.1", f"--http-port={port}", "--model-control-mode=explicit"]
    command += ["--allow-grpc=false", "--allow-metrics=false", "--exit-timeout-secs=1"]
    libraries = [str(_python_library()), str(_PACKAGES / "nvidia_pytriton.libs")]
    # the stub embeds the Python that PATH names, and its numpy must be older than 2
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PATH": f"{ENVIRONMENT}/bin:{os.environ['PATH']}",
    }
    environment.pop("PYTHONPATH", None)
    with (work / "triton.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while not _answers(f"{url}/v2/health/ready"):
            assert server.poll() is None and time.monotonic() < deadline, (work / "triton.log").read_text()[-3000:]
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()
        server.wait()


def _answers(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(url, timeout=2).status == 200)
    except OSError:
        return False


def _python_library() -> Path | None:
    folder = Path(sysconfig.get_config_var("LIBDIR") or "")
    return folder if any(folder.glob(f"libpython{_VERSION}.so*")) else None
