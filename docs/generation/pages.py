"""All generated pages by file name. I/O: writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from generation.commands import commands_page
from generation.http_api import http_api_page
from generation.metrics import metrics_page
from generation.records import records_page
from generation.settings import gate_file_page, gateway_file_page, settings_page

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "gateway-file.md": gateway_file_page,
    "gate-file.md": gate_file_page,
    "commands.md": commands_page,
    "records.md": records_page,
    "metrics.md": metrics_page,
    "http-api.md": http_api_page,
}


def write(folder: Path) -> None:
    """Write each page whose text changed, so that Sphinx reads again only what is new."""
    for name, page in PAGES.items():
        path, text = folder / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
