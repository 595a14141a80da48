"""A picture of the console's first page, in a real Chromium: `python demo/screenshot.py URL FILE.png`. I/O: browser."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def take(url: str, path: Path, *, width: int = 1280, height: int = 1000) -> bool:
    """Save a screenshot; False where no Chromium or Playwright is installed."""
    program = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright  # for development only
    except ModuleNotFoundError:
        return False
    if program is None:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(url, wait_until="networkidle")
        page.wait_for_timeout(1500)
        page.screenshot(path=str(path))
        browser.close()
    return True


if __name__ == "__main__":
    sys.exit(0 if take(sys.argv[1], Path(sys.argv[2])) else 1)
