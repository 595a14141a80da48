"""The page of numbers: exact, and as Prometheus's own checker wants it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flyball.gateway.metrics import Gauge, Metrics
from mock_engine import MockEngine
from running_gateway import QUICK, RunningGateway, arm, chat, table

UNITS = ("milliseconds", "minutes", "hours", "days", "kilobytes", "megabytes", "kibibytes", "bits", "percent", "ms")
OF_HISTOGRAMS = ("_bucket", "_count", "_sum")


def sample(text: str, name: str) -> list[str]:
    return [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """After answers, failures and refusals of every kind, so that no family is empty for want of a case."""
    with (
        MockEngine(lambda number, _body: "500" if number == 1 else "ok") as engine,
        RunningGateway(tmp_path_factory.mktemp("gateway"), table(arm(engine)), config=QUICK) as gateway,
    ):
        for stream in (False, True):
            gateway.post("/v1/chat/completions", chat(stream=stream))
        gateway.post("/v1/chat/completions", chat(model="unknown"))
        gateway.post("/v1/embeddings", {"model": "shop", "input": "x"})
        body: bytes = gateway.get("/metrics")[2]
        return body


@pytest.mark.parametrize("total", [9_999_999, 10_000_001, 123_456_789, 2**53 - 1])
def test_a_count_has_each_of_its_digits(total: int) -> None:
    metrics = Metrics(0)
    metrics.errors.add(by=total)
    metrics.tokens.add("shop", "r", "live", "prompt", by=total)
    row = metrics.seconds.row("shop", "r", "live")
    row[0], row[-1] = float(total), total + 0.25
    metrics.gauges.append(Gauge("flyball_gateway_connections", "Open.", lambda: {(): float(total)}))
    text = metrics.text().decode()
    assert sample(text, "flyball_gateway_internal_errors_total{") == [str(total)]
    assert sample(text, "flyball_gateway_tokens_total{") == [str(total)]
    assert sample(text, "flyball_gateway_request_seconds_count{") == [str(total)]
    assert sample(text, "flyball_gateway_connections{") == [str(total)]
    assert float(sample(text, "flyball_gateway_request_seconds_sum{")[0]) == total + 0.25


def test_dollars_lose_no_digit() -> None:
    metrics = Metrics(0)
    metrics.cost.add("shop", "r", "live", by=1234567.891234)
    assert sample(metrics.text().decode(), "flyball_gateway_cost_usd_total{") == ["1234567.891234"]


def test_names_and_types_are_what_prometheus_lints_for(page: bytes) -> None:
    """promtool's rules for names (client_golang, promlint/validations)."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page.decode(), re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", page.decode(), re.MULTILINE))
    assert len(kinds) > 20 and kinds.keys() == helps.keys()
    for name, kind in kinds.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        assert (kind == "counter") == name.endswith("_total"), (name, kind)
        assert not name.endswith(OF_HISTOGRAMS) and not set(name.split("_")) & {*UNITS, "counter", "gauge"}, name
    for label in re.findall(r'[{,]([^={},"]+)="', page.decode()):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", label) and label != "quantile", label


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say(page: bytes, tmp_path: Path) -> None:
    run = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, cwd=tmp_path, timeout=60)
    assert (run.returncode, run.stdout + run.stderr) == (0, b"")
