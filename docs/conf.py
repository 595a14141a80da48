"""The documentation site: README, ARCHITECTURE and the pages under docs/, built by `make docs`, offline."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

project = "Flyball"
author = "the Flyball authors"
copyright = "the Flyball authors, Apache-2.0"  # Sphinx's own name for it
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**"]
exclude_patterns = [".*", "build", "src", "tests", "bench", "demo", "examples"]
source_suffix = {".md": "markdown"}
nitpicky = True
myst_heading_anchors = 4
myst_links_external_new_tab = False
html_theme = "furo"
html_title = "Flyball"
html_extra_path = ["site"]
html_copy_source = False
html_show_sphinx = False

SECTIONS = (
    ("Tutorials", ("tutorials/*",)),
    ("How-to guides", ("how-to/*",)),
    ("Reference", ("reference/*",)),
    ("Explanation", ("explanation/*", "/ARCHITECTURE")),
    ("Project", ("/README", "/CHANGELOG", "/BENCHMARKS", "/CONTRIBUTING")),
)
"""The sidebar. It stands here and not in index.md, where GitHub would show it as code."""


def _add_sidebar(app: Sphinx, docname: str, content: list[str]) -> None:
    if docname == root_doc:
        for caption, pages in SECTIONS:
            content[0] += "\n".join(["\n```{toctree}", ":hidden:", ":glob:", f":caption: {caption}\n", *pages, "```\n"])


def _write_reference(app: Sphinx) -> None:
    from generation.pages import write

    write(DOCS / "reference")


def setup(app: Sphinx) -> None:
    app.connect("config-inited", lambda app, config: _write_reference(app))  # before Sphinx looks for pages
    app.connect("source-read", _add_sidebar)
