"""`flyball load`: figures as text and JSON, a page with plots, gates, and ctrl-c."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from load_server import events, http, plain, serving
from small_shop import flyball

QUICK = ("--rate", "100", "--duration", "1s", "--max-lag", "1s", "--timeout", "5s")


def gate_file(folder: Path, *rules: str) -> str:
    (folder / "gate.yaml").write_text("rules:\n" + "".join(f"- {{{rule}}}\n" for rule in rules))
    return str(folder / "gate.yaml")


def test_a_run_is_a_table_and_a_page_with_plots(tmp_path: Path) -> None:
    with serving(lambda _n, _r: events("a", "b", counted=2)) as server:
        done = flyball("load", server.url, *QUICK, "--objective", "ttft=1s,e2e=2s", "--out", "out", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "ttft_p99_ms" in done.out and "goodput_share" in done.out and "late by" in done.out
    page = (tmp_path / "out/load.html").read_text()
    assert page.count("<svg") == 3 and "<script" not in page and "Open loop" in page
    assert json.loads((tmp_path / "out/load.json").read_text())["load"]["summary"]["answered"] > 50


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("suite: load, measure: e2e_p50_ms, at_most: 2000", 0),
        ("measure: e2e_p50_ms, at_most: 0.0001", 3),
        ("measure: ttft_p99_ms, at_most: 2000", 6),
    ],
)
def test_a_gate_decides_by_bounds(tmp_path: Path, rule: str, code: int) -> None:
    """The last: 100 requests bound no 99th percentile."""
    with serving(lambda _n, _r: events("a", "b", counted=2)) as server:
        done = flyball("load", server.url, *QUICK, "--json", "--gate", gate_file(tmp_path, rule), cwd=tmp_path)
    assert done.code == code, done.out + done.err
    assert json.loads(done.out)["gate"]["verdict"] == {0: "pass", 3: "fail", 6: "inconclusive"}[code]


def test_a_server_that_fails_passes_no_gate(tmp_path: Path) -> None:
    rules = gate_file(tmp_path, "measure: e2e_p50_ms, at_most: 2000", "measure: error_share, at_most: 0.01")
    with serving(lambda n, r: plain(n, r) if n == 0 else http(b"{}", status=500)) as server:
        done = flyball("load", server.url, "--plain", *QUICK, "--json", "--gate", rules, cwd=tmp_path)
    assert done.code == 3
    assert {check["verdict"] for check in json.loads(done.out)["gate"]["checks"]} == {"fail"}


def test_a_gate_on_what_no_load_measures_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with serving() as server:
        rules = gate_file(tmp_path, "measure: e2e_p95_ms, at_most: 2000")
        done = flyball("load", server.url, *QUICK, "--gate", rules, cwd=tmp_path)
        assert not server.requests
    assert done.code == 2 and "e2e_p90_ms" in done.err


def test_a_sender_that_was_late_decides_nothing(tmp_path: Path) -> None:
    rules = gate_file(tmp_path, "measure: e2e_p50_ms, at_most: 2000")
    with serving() as server:
        late = ("--plain", *QUICK, "--max-lag", "0.001us", "--gate", rules)
        done = flyball("load", server.url, *late, cwd=tmp_path)
    assert done.code == 6 and "invalid:" in done.out


def test_a_search_and_an_overload_are_told(tmp_path: Path) -> None:
    quick = (*QUICK, "--plain", "--objective", "e2e=4s", "--json")
    with serving() as server:
        back = flyball("load", server.url, *quick, "--rate", "20", "--duration", "8s", "--overload", "2", cwd=tmp_path)
    assert back.code == 0 and json.loads(back.out)["load"]["recovery"]["recovered_s"] == 0.0
    with serving(lambda n, r: plain(n, r) if n < 200 else http(b"{}", status=429)) as server:
        found = flyball("load", server.url, *quick, "--arrivals", "constant", "--find-rate", cwd=tmp_path)
    told = json.loads(found.out)["load"]["saturation"]
    assert [trial["held"] for trial in told["trials"]][:2] == [True, False] and told["rate"] == 100.0


def test_ctrl_c_reports_what_there_is(tmp_path: Path) -> None:
    with serving() as server:
        command = [sys.executable, "-m", "flyball", "load", server.url, "--plain", "--duration", "10m", "--json"]
        running = subprocess.Popen([*command, "--rate", "50"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while len(server.requests) < 30 and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    summary = json.loads(out)["load"]["summary"]
    assert summary["interrupted"] and summary["answered"] >= 25 and summary["seconds"] < 60


def test_a_server_elsewhere_is_refused(tmp_path: Path) -> None:
    done = flyball("load", "http://192.0.2.1:9", cwd=tmp_path)
    assert done.code == 3 and "--yes-this-server-is-mine" in done.err
