"""Templates into pages, and the files that pages load. I/O: reads package data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from flyball.console import text_formats
from flyball.records.runtime import ASKED_PATHS

HERE = Path(__file__).parent
MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file of ours, with the hash that names its version."""

    body: bytes
    media: str
    version: str


def static_files() -> Mapping[str, StaticFile]:
    """Every file under static/, read once: there is no path to traverse afterwards."""
    found = {}
    for path in sorted((HERE / "static").iterdir()):
        if path.suffix in MEDIA:
            body = path.read_bytes()
            version = hashlib.sha256(body).hexdigest()[:12]
            found[path.name] = StaticFile(body=body, media=MEDIA[path.suffix], version=version)
    return found


class Pages:
    """Renders the templates; every value is escaped, a missing one is an error."""

    def __init__(self, *, project: str, gateway: str, files: Mapping[str, StaticFile]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            asked_paths=ASKED_PATHS,
            project=project,
            gateway=gateway,
            w=text_formats,
            asset={name: f"/static/{name}?v={file.version}" for name, file in files.items()},
        )

    def page(self, template: str, *, status: int = 200, **values: object) -> Response:
        """The page of a template."""
        return HTMLResponse(self._environment.get_template(template).render(**values), status_code=status)
