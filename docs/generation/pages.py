"""All generated pages by file name. I/O: writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

PAGES: dict[str, Callable[[], str]] = {}


def write(folder: Path) -> None:
    """Write each page whose text changed, so that Sphinx reads again only what is new."""
    for name, page in PAGES.items():
        path, text = folder / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
