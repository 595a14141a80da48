"""Check a built site: every link within it leads somewhere, and no page loads from elsewhere. I/O: reads it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADING = {"script", "img", "iframe", "audio", "video", "source", "embed", "object"}
LOADED_BY_LINK = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "manifest", "modulepreload"}
CSS_ADDRESS = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]+)")


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.anchors, self.links, self.loads = path, {""}, [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {values[key] or "" for key in ("id", "name") if key in values}
        target = values.get("href") or values.get("src") or values.get("data")
        if not target:
            return
        by_link = tag == "link" and LOADED_BY_LINK & set((values.get("rel") or "").split())
        (self.loads if tag in LOADING or by_link else self.links).append(target)


def problems(site: Path) -> Iterator[str]:
    """What is wrong with the site, one line each."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for target in page.loads:
            if urlsplit(target).netloc:
                yield f"{name} loads {target} from elsewhere"
        for target in (*page.loads, *page.links):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not file.exists():
                yield f"{name} links to {target}, which does not exist"
            elif file in pages and unquote(parts.fragment) not in pages[file].anchors:
                yield f"{name} links to {target}, which has no such anchor"
    for sheet in site.rglob("*.css"):
        for address in CSS_ADDRESS.findall(sheet.read_text(encoding="utf-8")):
            yield f"{sheet.relative_to(site)} loads {address} from elsewhere"


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1])))
    print("\n".join(found) or "every link leads somewhere, and nothing is loaded from elsewhere")
    sys.exit(bool(found))
