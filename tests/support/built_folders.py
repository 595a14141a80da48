"""Folders that take long to make (a trained model, a project after `flyball run`), made once and copied afterwards.

Kept in pytest's cache folder under a hash of all that makes them: the product's code, the module with the recipe, the
versions of libraries and of Python. Workers of one run share them, and so do runs of the same code.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".pytest_cache" / "built"


def built_folder(name: str, make: Callable[[Path], object], target: Path, *, recipe: str) -> Path:
    """`target`, a new folder with what `make(folder)` leaves in a folder; `recipe` is the file that defines `make`."""
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / f"{name}-{_code(recipe)}"
    with FileLock(CACHE / f"{name}.lock"):
        if not kept.exists():
            for old in CACHE.glob(f"{name}-*"):
                shutil.rmtree(old, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix="flyball-built-") as folder:  # outside of any repository
                make(Path(folder) / name)
                partial = CACHE / f"{name}-partial"
                shutil.copytree(Path(folder) / name, partial, symlinks=True)
                partial.rename(kept)
        shutil.copytree(kept, target, symlinks=True)
    return target


@cache
def _code(recipe: str) -> str:
    """A hash of every file that decides what comes out."""
    files = [Path(recipe), ROOT / "constraints.txt", *sorted(Path(__file__).parent.glob("small_*.py"))]
    files += sorted(path for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc")
    digest = hashlib.sha256(sys.version.encode())
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
