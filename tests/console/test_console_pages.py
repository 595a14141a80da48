"""What the pages say, over real HTTP and a real SQLite ledger."""

from __future__ import annotations

import html
import json
import re
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import console_shop
from console_site import Site, served
from flyball.console import charts
from flyball.console.cached_metrics import CachedMetrics
from flyball.console.front_page import read_overview
from flyball.console.page_rendering import Pages, static_files
from flyball.console.record_page import read_record
from flyball.records import canonical_bytes, fingerprint
from flyball.storage import tables
from flyball.storage.ledger import Ledger, now_ms, open_ledger
from traffic_rows import add_request

EVERY_PAGE = ("/", "/requests", "/datasets", "/models", "/deployments", "/findings", "/live")


@pytest.fixture
def empty(sqlite_template: Path, tmp_path: Path) -> Any:
    """A ledger with nothing in it yet."""
    (tmp_path / "ledger.db").write_bytes(sqlite_template.read_bytes())
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", project=console_shop.PROJECT)
    yield ledger
    ledger.close()


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_a_page_of_an_empty_ledger_says_what_is_missing_instead_of_failing(
    path: str, empty: Ledger, tmp_path: Path
) -> None:
    with served(empty, tmp_path) as url:
        answer = Site(url=url, ledger=empty, shop=None).get(path)  # type: ignore[arg-type]
        assert answer.status_code == 200
        assert re.search(r"no .* yet|No .* yet|Nothing|No request", answer.text)


def test_the_front_page_shows_each_stage_with_its_key_figure_and_record(site: Site) -> None:
    text = site.get("/").text
    for verb, figure in (
        ("Collect", "5,259 rows"),
        ("Train", "0.227"),
        ("Register", "1.3 M"),
        ("Compose", "8 labels"),
        ("Evaluate", "74.2 %"),
        ("Gate", "Refused"),
        ("Roll out", "Ramping"),
        ("Serve", "Live"),
        ("Improve", "Retrain"),
        ("Monitor", "1 finding"),
    ):
        assert f'aria-label="{verb}: {figure}' in text, verb
    assert fingerprint(site.shop.refused.decision) in text
    assert site.shop.live.name in text


def test_the_front_page_shows_the_deployment_in_progress_with_its_step_and_reason(site: Site) -> None:
    card = section(site.get("/").text, "rollout")
    assert "ramping" in card and "10 % (1 of 2)" in card and "Its engine answered." in card
    assert 'aria-current="step"><span>10 %</span>' in card
    assert "candidate</span> 96 requests, 0 failed; 34 units judged" in card


def test_the_front_page_shows_only_findings_about_what_serves(site: Site) -> None:
    card = section(site.get("/").text, "findings")
    assert "19.4 % of 412 requests" in card
    assert "71.2 %" not in card, "a finding about a release that no longer serves"


def test_the_finding_page_shows_closed_findings_too_with_their_examples(site: Site) -> None:
    text = site.get("/findings").text
    assert "71.2 %" in text and "closed, critical" in text
    assert f'href="/requests/{site.shop.finding.examples[0]}"' in text


def test_the_front_page_shows_spend_by_kind_and_what_a_good_answer_costs(site: Site) -> None:
    card = section(site.get("/").text, "spend")
    for kind in ("training", "evaluation", "idle", "serving"):
        assert f'<th scope="row">{kind}</th>' in card
    assert re.search(r"Per good answer \(\d+\)</th><td class=\"num\">\$0\.0\d+", card)


def test_quality_stands_with_its_interval_beside_what_evaluation_measured(site: Site) -> None:
    deadline = time.monotonic() + 20
    while "being counted" in (text := site.get("/").text) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "evaluated 88.3 %" in section(text, "vitals")
    row = next(row for row in section(text, "quality-table").split("<tr>") if site.shop.live.name in row)
    assert re.search(r"\d\d\.\d %\s+<small>\d\d\.\d–\d+\.\d %, n \d+</small>", row)


def test_a_story_leads_from_the_answer_back_to_the_dataset_with_the_bound_that_decided(site: Site) -> None:
    request = next(r for r in reversed(site.shop.requests) if r.variant == "live" and r.outcome == "ok")
    text = site.get(f"/requests/{request.id}").text
    live = site.shop.live
    for record in (live.release, live.decision, live.report, live.model, live.run, live.dataset):
        assert f'href="/records/{fingerprint(record)}"' in text, type(record).__name__
    assert f'href="/records/{site.shop.live_deployment.id}"' in text
    assert "not worse than live by 0.03: lower bound 0.008 ≥ −0.03, n 812" in text


def test_a_story_of_a_bare_upstream_says_which_records_are_not_there(site: Site) -> None:
    request = console_shop.request(release="an-upstream", started_ms=now_ms() - 7_200_000)
    with site.ledger.begin() as connection:
        add_request(connection, request)
    text = site.get(f"/requests/{request.id}").text
    assert "not in this ledger" in text and "it was erased, its time is over, or it was never recorded" in text


def test_a_story_tells_waiting_from_the_engine_what_was_asked_and_why_it_failed(site: Site) -> None:
    cause = "connect: the name nowhere.invalid is not known (DNS) (upstream-1)"
    failed = console_shop.request(
        kind="embedding",
        outcome="error",
        status=503,
        error="overloaded",
        cause=cause,
        queue_ms=2000.0,
        total_ms=2500.0,
        first_token_ms=None,
        started_ms=now_ms() - 7_200_000,
    )
    with site.ledger.begin() as connection:
        add_request(connection, failed)
    text = site.get(f"/requests/{failed.id}").text
    assert "/v1/embeddings" in text and f"overloaded: {cause}" in text
    assert "<span>waiting for a slot</span> 2.00 s" in text and "<span>engine</span> 500 ms" in text


def test_a_record_page_shows_the_canonical_content_and_its_edges_both_ways(site: Site) -> None:
    live = site.shop.live
    text = site.get(f"/records/{live.name}").text
    assert f'href="/records/{fingerprint(live.model)}"' in section(text, None, label="Came from")
    led_to = section(text, None, label="Led to")
    for name in (fingerprint(live.report), fingerprint(live.decision), site.shop.live_deployment.id):
        assert f'href="/records/{name}"' in led_to
    content = re.search(r"<pre class=\"content\"[^>]*>(.*?)</pre>", text, re.DOTALL)
    assert content is not None
    shown = json.loads(html.unescape(content[1]))
    assert shown == json.loads(canonical_bytes(live.release))


def test_models_stand_side_by_side_with_run_data_score_and_gate(site: Site) -> None:
    text = site.get("/models").text
    rows = text.split("<tbody>")[1].split("</tr>")
    for one in (site.shop.old, site.shop.live, site.shop.candidate, site.shop.refused):
        row = next(row for row in rows if f"/records/{fingerprint(one.model)}" in row)
        for record in (one.run, one.dataset, one.release, one.report, one.decision):
            assert f"/records/{fingerprint(record)}" in row, type(record).__name__
        assert f"exact match {100 * one.report.measures[0].value:.1f} %" in row and "validation loss 0.2" in row
        assert (">live<" in row) == (one is site.shop.live)
        assert one.decision.verdict in row


def test_datasets_stand_side_by_side_with_what_changed(site: Site) -> None:
    rows = site.get("/datasets").text.split("<tbody>")[1].split("</tr>")
    assert fingerprint(site.shop.refused.dataset) in rows[0] and "+130" in rows[0] and "1,131 of" in rows[0]
    row = next(row for row in rows if fingerprint(site.shop.live.dataset) in row)
    assert "812" in row and ">8<" in row and "tickets" in row


def test_runs_stand_side_by_side_with_curves_what_differs_and_what_they_came_to(site: Site) -> None:
    live, old = site.shop.live, site.shop.old
    runs = [fingerprint(one.run) for one in (live, old)]
    text = site.get("/compare", params={"run": [*runs, runs[0], ""]}).text
    assert f"/charts/curves-wide-light.svg?run={runs[0]}&amp;run={runs[1]}" in text
    assert text.count("its curve is not on this machine") == 1, "the old run has none"
    rows = {
        cells[0]: cells[1:]
        for row in re.findall(r"<tr>(.*?)</tr>", text)
        if (cells := re.findall(r">([^<>]+)</t[hd]>", row))
    }
    assert rows["dataset"] == [fingerprint(one.dataset)[:12] for one in (live, old)]
    assert "88.3 %" in rows["exact match on test"][0] and "86.1 %" in rows["exact match on test"][1]
    assert "Tick two or more" in site.get(f"/compare?run={runs[0]}").text
    assert site.get("/compare?run=nothing").status_code == 404
    refused = site.get(f"/compare?run={live.name}")
    assert refused.status_code == 400 and "is not a training run" in refused.text
    chart = site.get(f"/charts/curves-narrow-dark.svg?run={runs[0]}&run={runs[1]}")
    assert chart.status_code == 200 and runs[0][:12] in chart.text


def test_a_training_run_shows_its_loss_curve_and_a_report_the_wrong_answers_of_its_worst_labels(site: Site) -> None:
    live = site.shop.live
    run = site.get(f"/records/{fingerprint(live.run)}").text
    assert f"/charts/curve-wide-light.svg?run={fingerprint(live.run)}" in run
    assert "Training loss" in run and "<td" in run.split("up to step")[1]
    report = site.get(f"/records/{fingerprint(live.report)}").text
    assert "Wrong answers of the worst labels" in report and "29.0 %" in report
    assert "where is &lt;b&gt;my&lt;/b&gt; money" in report and "order status" in report


def test_a_run_or_report_whose_files_are_not_here_or_broken_has_its_page(site: Site, tmp_path: Path) -> None:
    live = site.shop.live
    assert "charts/curve" not in site.get(f"/records/{fingerprint(site.shop.old.run)}").text
    for path in (f"reports/{fingerprint(live.report)}/report.json", f"curves/{fingerprint(live.run)}.json"):
        (tmp_path / ".flyball" / path).parent.mkdir(parents=True)
        (tmp_path / ".flyball" / path).write_text("{")
    for record in (live.report, live.run):
        assert read_record(site.ledger, fingerprint(record), root=tmp_path).facts


def test_every_record_of_the_ledger_has_a_page(site: Site) -> None:
    with site.ledger.read() as connection:
        names = [row.id for row in connection.execute(tables.records.select())]
        names += [row.id for row in connection.execute(tables.feedback.select().limit(3))]
    assert len(names) > 30
    for name in [*names, site.shop.requests[0].id]:
        assert site.get(f"/records/{name}").status_code == 200, name


def test_the_first_digits_of_a_fingerprint_find_its_record(site: Site) -> None:
    assert site.shop.live.name in site.get(f"/records/{site.shop.live.name[:12]}").text


@pytest.mark.parametrize("path", ["/nowhere", "/records/nothing", f"/requests/{UUID(int=0)}", "/static/../app.py"])
def test_what_is_not_there_is_a_404_that_says_so(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status_code == 404
    assert "Not found" in answer.text and "What to do" in answer.text


@pytest.mark.parametrize("outcome", ["ok", "error", "refused"])
def test_requests_are_filtered_by_outcome(site: Site, outcome: str) -> None:
    expected = [r for r in site.shop.requests if r.outcome == outcome]
    shown = set(re.findall(r'href="/requests/([0-9a-f-]{36})"', site.get(f"/requests?outcome={outcome}").text))
    ours = shown & {r.id for r in site.shop.requests}  # other tests add a request or two of their own
    assert len(ours) >= min(len(expected), 45)
    assert ours == {r.id for r in expected[-len(ours) :]}


def test_requests_are_found_by_their_redacted_text(site: Site) -> None:
    text = site.get("/requests", params={"text": "KETTLE"}).text
    assert "The kettle broke" in text and "invoice for my tax office" not in text
    assert "No request fits" in site.get("/requests?text=%25").text, "a wildcard is only a character"


def test_paging_shows_every_request_once(site: Site) -> None:
    path, seen = "/requests?route=shop", []
    while path:
        text = site.get(path).text
        seen += re.findall(r'<th scope="row" class="at"><a href="/requests/([0-9a-f-]{36})"', text)
        older = re.search(r'<a href="([^"]+)" rel="next">', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen))
    assert set(seen) >= {r.id for r in site.shop.requests}


@pytest.mark.parametrize("before", ["x", "-1", "9" * 40, "²"])
def test_a_senseless_page_position_shows_the_newest(site: Site, before: str) -> None:
    assert site.get("/requests", params={"before": before}).status_code == 200


def test_what_users_write_is_shown_as_text_and_never_runs(site: Site) -> None:
    record = console_shop.request(
        started_ms=now_ms() - 5_000_000,
        release=site.shop.live.name,
        error='"><script>alert(1)</script>',
        outcome="error",
    )
    attack = "<script>alert(2)</script><img src=x onerror=alert(3)>"
    with site.ledger.begin() as connection:
        add_request(connection, record)
        console_shop.add_texts(connection, record, attack, "</pre><script>alert(4)</script>")
    for path in (f"/requests/{record.id}", f"/requests?text={attack}", f"/records/{record.id}"):
        text = site.get(path).text
        assert "alert(" in text
        assert not re.search(r"<script>|<img src=x", text), path


def test_an_erased_payload_and_a_marked_model_are_told(sqlite_template: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(sqlite_template.read_bytes())
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", project=console_shop.PROJECT)
    shop = console_shop.fill(ledger, requests=30)
    request = next(r for r in shop.requests if r.outcome == "ok")
    model = fingerprint(shop.live.model)
    with ledger.begin() as connection:
        connection.execute(tables.payloads.delete().where(tables.payloads.c.id == request.id))
        values = {
            "project": "shop",
            "subject": "s",
            "old": model,
            "effect": "marked",
            "receipt": "r",
            "at_ms": now_ms(),
        }
        connection.execute(tables.erasures.insert().values(**values))
    with served(ledger, tmp_path) as url:
        here = Site(url=url, ledger=ledger, shop=shop)
        assert "it was erased" in here.get(f"/requests/{request.id}").text
        assert "erasure: marked" in here.get(f"/records/{model}").text
    ledger.close()


def test_the_front_page_takes_under_150_ms_with_10_000_requests(sqlite_template: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(sqlite_template.read_bytes())
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", project=console_shop.PROJECT)
    console_shop.fill(ledger, requests=10_000)
    pages, kept = Pages(project="shop", gateway="", files=static_files()), CachedMetrics(fresh_s=3600, wait_s=0)
    took = []
    for _ in range(5):
        began = time.thread_time()  # of this thread: neighbours on the machine do not count
        overview = read_overview(ledger, kept, route=None, now_ms=now_ms())
        pages.page("front.html", page="loop", overview=overview, now_ms=overview.now_ms, drawable=charts.can_render())
        took.append(time.thread_time() - began)
    assert overview.traffic.requests > 9000
    assert min(took) < 0.150
    assert sorted(took)[2] < 0.300, took
    ledger.close()


def section(text: str, identifier: str | None, *, label: str = "") -> str:
    """The part of a page from an id or a label to the end of its element."""
    wanted = f'id="{identifier}"' if identifier else f'aria-label="{label}"'
    start = text.index(wanted)
    tag = re.findall(r"<(\w+)[^<]*$", text[:start])[-1]
    return text[start : text.index(f"</{tag}>", start)]
