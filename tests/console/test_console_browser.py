"""The console in a real Chromium: nothing foreign is loaded, nothing is blocked, and a keyboard and a phone suffice."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest

import console_shop
from console_site import Site
from flyball.records import fingerprint
from flyball.storage.ledger import now_ms
from traffic_rows import add_request

SCHEMES = ("light", "dark")
PAGES = (
    *("front", "requests", "story", "record", "gate", "models", "compare", "datasets", "deployments", "findings"),
    *("playground", "missing"),
)


def address(site: Site, page: str) -> str:
    """The URL of a page by its name."""
    paths = {
        "front": "/",
        "requests": "/requests",
        "story": f"/requests/{site.shop.requests[-1].id}",
        "record": f"/records/{site.shop.live.name}",
        "gate": f"/records/{fingerprint(site.shop.refused.decision)}",
        "models": "/models",
        "compare": f"/compare?run={fingerprint(site.shop.live.run)}&run={fingerprint(site.shop.old.run)}",
        "datasets": "/datasets",
        "deployments": "/deployments",
        "findings": "/findings",
        "playground": "/playground",
        "missing": "/records/none",
    }
    return site.url + paths[page]


@contextmanager
def opened(browser: Any, url: str, *, width: int = 1280, scheme: str = "light", **options: Any) -> Iterator[Any]:
    """A page whose console, errors, requests and policy violations are kept in `page.seen`."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
    context.add_init_script(
        "window.violations = []; document.addEventListener('securitypolicyviolation',"
        " event => window.violations.push(event.violatedDirective + ' ' + event.blockedURI))"
    )
    page = context.new_page()
    seen: dict[str, list[str]] = {"console": [], "errors": [], "requests": []}
    page.on("console", lambda message: seen["console"].append(message.text))
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.on("request", lambda request: seen["requests"].append(request.url))
    page.goto(url)
    page.wait_for_load_state("load")
    page.seen = seen
    yield page
    context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_only_from_the_console_and_breaks_no_rule(
    site: Site, browser: Any, name: str, scheme: str
) -> None:
    with opened(browser, address(site, name), scheme=scheme) as page:
        assert page.evaluate("window.violations") == []
        assert page.seen["errors"] == []
        assert page.seen["console"] == [] or name == "missing"
        assert {urlsplit(url).netloc for url in page.seen["requests"]} == {urlsplit(site.url).netloc}


@pytest.mark.parametrize(
    ("name", "width"), [*((page, 360) for page in PAGES), ("front", 820), ("requests", 820), ("models", 820)]
)
def test_no_page_scrolls_sideways_on_a_phone_or_a_tablet(site: Site, browser: Any, name: str, width: int) -> None:
    with opened(browser, address(site, name), width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_table_of_a_record_is_clipped_at_1280_pixels(site: Site, browser: Any) -> None:
    live = site.shop.live
    with opened(browser, site.url) as page:
        for path in ("/models", "/datasets", address(site, "compare").removeprefix(site.url)):
            page.goto(site.url + path)
            assert page.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)")
        for record in (live.dataset, live.run, live.model, live.report, live.decision, site.shop.refused.decision):
            page.goto(f"{site.url}/records/{fingerprint(record)}")
            clipped = page.evaluate(
                "[...document.querySelectorAll('.sheet .scroll')].filter(e => e.scrollWidth > e.clientWidth)"
                ".map(e => e.ariaLabel + ' ' + e.scrollWidth + ' in ' + e.clientWidth)"
            )
            assert clipped == [], type(record).__name__


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["front", "story", "gate", "deployments"])
def test_text_is_legible_in_both_schemes(site: Site, browser: Any, name: str, scheme: str) -> None:
    with opened(browser, address(site, name), scheme=scheme) as page:
        poor = page.evaluate(CONTRAST)
        assert poor == [], poor[:5]


@pytest.mark.parametrize("name", PAGES)
def test_landmarks_headings_and_names_tell_a_screen_reader_where_it_is(site: Site, browser: Any, name: str) -> None:
    with opened(browser, address(site, name)) as page:
        assert page.get_attribute("html", "lang") == "en"
        for landmark in ("main", "header.top", "nav[aria-label='Main']", "footer"):
            assert page.locator(landmark).count() == 1, landmark
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.localName[1]))")
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels)), levels
        identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(identifiers) == len(set(identifiers))
        assert page.evaluate(UNNAMED) == []


def test_the_loop_is_read_by_a_screen_reader_as_twelve_named_stages(site: Site, browser: Any) -> None:
    with opened(browser, site.url) as page:
        tree = page.locator("main").aria_snapshot()
        for verb in ("Collect", "Train", "Register", "Compose", "Evaluate", "Gate", "Roll out", "Serve", "Improve"):
            assert len(re.findall(f'link "{verb}: ', tree)) == 1, verb


def test_the_keyboard_reaches_the_content_the_stages_and_the_pause_button(site: Site, browser: Any) -> None:
    with opened(browser, site.url) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        assert page.locator(".skip").bounding_box()["y"] >= 0, "it is seen when it has the focus"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert name.startswith("Collect: ")
        page.keyboard.press("Enter")
        page.wait_for_url("**/records/*")
        assert page.inner_text("h1") == "Dataset"


def test_the_front_page_updates_itself_and_keeps_the_focus(site: Site, browser: Any) -> None:
    with opened(browser, site.url) as page:
        page.locator("#latest a").first.focus()
        record = console_shop.request(started_ms=now_ms(), release=site.shop.live.name)
        with site.ledger.begin() as connection:
            add_request(connection, record)
        page.wait_for_selector(f"#latest a[href='/requests/{record.id}']", timeout=15_000)
        assert page.evaluate("document.activeElement.closest('#latest') !== null")
        assert page.seen["errors"] == []


def test_updates_pause_on_demand_and_go_on(site: Site, browser: Any) -> None:
    with opened(browser, site.url) as page:
        button = page.get_by_role("button", name="Pause")
        button.click()
        assert page.inner_text("[data-freshness]") == "Paused"
        page.seen["requests"].clear()
        page.wait_for_timeout(3200)
        assert not [url for url in page.seen["requests"] if "/live" in url]
        with page.expect_request("**/live*"):
            page.get_by_role("button", name="Resume").click()


def test_a_lost_console_is_told_and_its_return_noticed(site: Site, browser: Any) -> None:
    with opened(browser, site.url) as page:
        page.evaluate("document.querySelector('[data-live-source]').dataset.every = 200")
        page.evaluate("document.querySelector('[data-live-source]').dataset.liveSource = '/nowhere'")
        page.locator("[data-freshness]", has_text="No connection").wait_for(timeout=20_000)
        page.evaluate("document.querySelector('[data-live-source]').dataset.liveSource = '/live'")
        page.locator("[data-freshness]", has_text="Live").wait_for(timeout=10_000)
        assert "No connection" not in page.locator("[data-freshness]").inner_text()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_charts_come_in_the_colours_of_the_scheme(site: Site, browser: Any, scheme: str) -> None:
    with opened(browser, site.url, scheme=scheme) as page:
        chart = page.locator(".chart.traffic img")
        chart.scroll_into_view_if_needed()
        deadline = time.monotonic() + 30
        while chart.evaluate("image => image.naturalWidth") < 300 and time.monotonic() < deadline:
            page.wait_for_timeout(100)
        assert chart.evaluate("image => image.naturalWidth") > 300
        assert f"-{scheme}.svg" in chart.evaluate("image => image.currentSrc")
        assert "in all, at most" in chart.get_attribute("alt")


def test_without_scripts_the_page_is_whole_and_offers_no_dead_button(site: Site, browser: Any) -> None:
    with opened(browser, site.url, java_script_enabled=False) as page:
        assert page.locator("[data-pause]").is_hidden()
        assert page.locator("#vitals").is_visible()


def test_a_search_is_made_with_the_keyboard_alone(site: Site, browser: Any) -> None:
    with opened(browser, site.url + "/requests") as page:
        page.get_by_label("Text").focus()
        page.keyboard.type("kettle")
        page.keyboard.press("Enter")
        page.wait_for_url("**text=kettle*")
        assert page.locator(".answers tbody tr").count() > 0
        assert page.input_value("input[name=text]") == "kettle"


def test_ticked_runs_are_compared_without_a_script(site: Site, browser: Any) -> None:
    with opened(browser, site.url + "/models", java_script_enabled=False) as page:
        ticks = page.locator("tbody input[type=checkbox]")
        assert ticks.count() == 4
        for at in (1, 3):
            ticks.nth(at).check()
        page.get_by_role("button", name="Compare ticked runs").click()
        page.wait_for_url("**/compare?run=*&run=*")
        assert page.inner_text("h1") == "Training runs compared"
        assert page.get_by_role("region", name="What they came to").locator("thead th").count() == 3


def test_a_script_in_a_prompt_is_read_and_not_run(site: Site, browser: Any) -> None:
    record = console_shop.request(started_ms=now_ms() - 6_000_000, release=site.shop.live.name)
    attack = '<img src=x onerror="window.hacked = 1"><script>window.hacked = 2</script>'
    with site.ledger.begin() as connection:
        add_request(connection, record)
        console_shop.add_texts(connection, record, attack, attack)
    for path in (f"/requests/{record.id}", "/requests?text=hacked"):
        with opened(browser, site.url + path) as page:
            assert attack in page.inner_text("main")
            assert page.evaluate("window.hacked") is None
            assert page.evaluate("window.violations") == []


UNNAMED = """
[...document.querySelectorAll('a[href], button, input, select, summary, img, [role=region], [role=img], section')]
  .filter(e => e.checkVisibility())
  .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('alt') || e.textContent.trim()
    || (e.labels && e.labels.length) || e.getAttribute('aria-labelledby')))
  .map(e => e.outerHTML.slice(0, 120))
"""

CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const box = e.namespaceURI.includes('svg') && e.querySelector ? e.querySelector(':scope > .box') : null;
      const fill = rgba(box ? getComputedStyle(box).fill : getComputedStyle(e).backgroundColor);
      if (fill[3] > 250) return fill;
    }
    return rgba(getComputedStyle(document.body).backgroundColor);
  };
  const poor = [];
  for (const element of document.querySelectorAll('main *, header *, footer *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('.sr')) continue;
    const style = getComputedStyle(element);
    const svg = element.namespaceURI.includes('svg');
    const [one, two] = [light(rgba(svg ? style.fill : style.color)), light(behind(element))];
    const ratio = (Math.max(one, two) + .05) / (Math.min(one, two) + .05);
    const name = element.className.baseVal ?? element.className;
    if (ratio < 4.5) poor.push([ratio.toFixed(2), name, element.textContent.trim().slice(0, 40)]);
  }
  return poor;
})()
"""
