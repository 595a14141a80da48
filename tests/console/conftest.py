"""A filled console, and a real Chromium to look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import console_shop
from console_site import Site, leave_build_files, served
from flyball.storage.ledger import open_ledger

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A console over a filled shop; tests only read from it."""
    root = tmp_path_factory.mktemp("console")
    shutil.copyfile(sqlite_template, root / "ledger.db")
    ledger = open_ledger(f"sqlite:///{root}/ledger.db", project=console_shop.PROJECT)
    shop = console_shop.fill(ledger, requests=400)
    leave_build_files(root, shop.live)
    with served(ledger, root) as url:
        yield Site(url=url, ledger=ledger, shop=shop)
    ledger.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium; for one module, because its driver keeps an event loop running in this thread."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright  # only where there is a browser to drive

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()
