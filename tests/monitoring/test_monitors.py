"""Running tests over a real ledger: they find what changed, count everything once, and say it understandably."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from flyball.monitoring import monitor_runs
from flyball.monitoring.config import MonitorConfig
from flyball.monitoring.monitor import LiveView
from flyball.monitoring.monitor_runs import run_monitors
from flyball.monitoring.monitor_state import load
from flyball.monitoring.monitors import WATCHES
from flyball.records import Finding
from flyball.storage.ledger import Ledger, open_ledger
from traffic_samples import RELEASE, ROUTE, Traffic

CONFIG = MonitorConfig()
KNOWN = frozenset(("where", "is", "my", "order", "please", "refund"))


def has_new_word(text: str) -> bool:
    return any(word not in KNOWN for word in text.split())


LIVE = LiveView(release=RELEASE, quality=0.9, new_word_share=0.05, has_new_word=has_new_word)


def watch(ledger: Ledger, live: LiveView = LIVE, config: MonitorConfig = CONFIG) -> list[Finding]:
    return run_monitors(ledger, config=config, route=ROUTE, live=live)


def customers(count: int) -> list[str | None]:
    return [f"customer {number % 97}" for number in range(count)]


def test_ordinary_traffic_gives_no_finding(ledger: Ledger) -> None:
    traffic, rng = Traffic(ledger), random.Random(1)
    texts = ["where is my order" + (" hm" if rng.random() < 0.05 else "") for _ in range(300)]
    for request in traffic.ask_many(texts, users=customers(300)):
        traffic.say(request, score=float(rng.random() < 0.9))
    assert watch(ledger) == []


def test_new_words_give_one_drift_finding_with_examples_and_the_words(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask_many(["where is my order"] * 200, users=customers(200))
    assert watch(ledger) == []
    new = traffic.ask_many(["where is my esim please"] * 60, users=customers(60))
    (finding,) = watch(ledger)
    assert (finding.kind, finding.route, finding.release) == ("drift", ROUTE, RELEASE)
    assert set(finding.examples) <= set(new) and finding.examples
    assert finding.evidence["new_words"][0]["word"] == "esim"
    assert finding.evidence["e_value"] >= 1 / finding.evidence["alpha"] == pytest.approx(WATCHES / CONFIG.alpha)
    assert finding.value > 0.5 > finding.reference == 0.05
    assert "never saw in training" in finding.explanation and "esim" in finding.explanation
    assert [stored.record for stored in ledger.find(Finding)] == [finding]


def test_a_finding_is_raised_once_per_release_and_kind(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask_many(["esim roaming"] * 100, users=customers(100))
    assert [finding.kind for finding in watch(ledger)] == ["drift"]
    traffic.ask_many(["esim roaming"] * 100, users=customers(100))
    assert watch(ledger) == []
    traffic.ask_many(["esim roaming"] * 100, users=customers(100), release="b" * 64)
    assert [finding.kind for finding in watch(ledger, replace(LIVE, release="b" * 64))] == ["drift"]


def test_a_word_that_one_person_uses_is_not_named(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    texts = ["esim"] * 99
    texts[50] = "esim kowalczyk"
    traffic.ask_many(texts, users=customers(99))
    (finding,) = watch(ledger)
    assert "kowalczyk" not in str(finding)
    assert "esim" in str(finding)


def test_one_client_that_runs_wild_is_no_drift(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask_many(["esim esim"] * 400, user="one wild client")
    assert watch(ledger) == []
    traffic.ask_many(["esim"] * 60, users=customers(60))
    assert [finding.kind for finding in watch(ledger)] == ["drift"]


def test_worse_answers_give_a_quality_finding(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    for number, request in enumerate(traffic.ask_many(["where is my order"] * 60, users=customers(60))):
        if number % 2:
            traffic.say(request, correction="refunds")
        else:
            traffic.say(request, correction="orders")
    (finding,) = watch(ledger)
    assert (finding.kind, finding.severity) == ("quality", "critical")
    assert finding.value < 0.7 < finding.reference == 0.9
    assert "graded answers were good" in finding.explanation


def test_a_strict_judge_is_no_fall_in_quality(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    for request in traffic.ask_many(["where is my order"] * 60, users=customers(60)):
        traffic.say(request, score=0.0, judge="a strict program")
        traffic.say(request, score=1.0)
        traffic.say(request, score=0.0, judge="a strict program")
    assert watch(ledger) == []
    state = load(ledger, f"quality:{ROUTE}:{RELEASE}").state
    assert state is not None and '"seen":60' in state  # what users said was counted


def test_the_latest_feedback_of_a_request_counts_and_counts_once(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    request = traffic.ask()
    traffic.say(request, score=0.0)
    traffic.say(request, score=1.0)
    watch(ledger)
    traffic.say(request, score=0.0)
    traffic.say(request, comment="hm")
    watch(ledger)
    state = load(ledger, f"quality:{ROUTE}:{RELEASE}")
    assert state.state is not None
    assert '"seen":1' in state.state and '"total":0.0' in state.state  # mirrored: no bad answer


def test_feedback_that_comes_before_its_request_is_counted_when_the_request_arrives(ledger: Ledger) -> None:
    other = Traffic(ledger)
    other.say(None, score=0.0, client_id="mine")
    watch(ledger)
    place = load(ledger, f"quality:{ROUTE}:{RELEASE}")
    assert place.state is not None and '"seen":0' in place.state
    other.ask(client_id="mine")
    watch(ledger)
    watch(ledger)
    place = load(ledger, f"quality:{ROUTE}:{RELEASE}")
    assert place.state is not None and '"seen":1' in place.state and '"pending":[]' in place.state


def test_failing_answers_give_an_errors_finding_but_refusals_and_aborts_do_not(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask_many(["where is my order"] * 60, users=customers(60), outcome="refused")
    traffic.ask_many(["where is my order"] * 60, users=customers(60), outcome="aborted")
    assert watch(ledger) == []
    traffic.ask_many(["where is my order"] * 30, users=customers(30), outcome="cut")
    assert [finding.kind for finding in watch(ledger)] == ["errors"]


def test_an_errors_finding_names_the_kind_of_request_and_why_it_failed(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    asked = ["where is my order"] * 12
    traffic.ask_many(asked, users=customers(12), outcome="error", kind="embedding", cause="status 502: it answered 502")
    traffic.ask_many(["where is my order"] * 3, users=customers(3), outcome="cut")
    (finding,) = watch(ledger)
    assert "502 on /v1/embeddings (status 502: it answered 502)" in finding.explanation
    first = finding.evidence["failures"][0]
    assert (first["what"], first["cause"]) == ("502 on /v1/embeddings", "status 502: it answered 502")


def test_slow_answers_give_a_latency_finding_where_a_limit_is_set(ledger: Ledger) -> None:
    Traffic(ledger).ask_many(["where is my order"] * 50, users=customers(50), total_ms=900.0)
    assert watch(ledger) == []
    (finding,) = watch(ledger, config=MonitorConfig(latency_p99_ms=500.0))
    assert finding.kind == "latency" and "500 ms" in finding.explanation


def test_other_releases_and_routes_do_not_count(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask_many(["esim"] * 60, users=customers(60), release="b" * 64)
    traffic.ask_many(["esim"] * 60, users=customers(60), route="other")
    assert watch(ledger) == []


def test_many_passes_and_one_pass_come_to_the_same_state(ledger: Ledger) -> None:
    traffic, rng = Traffic(ledger), random.Random(11)
    live = replace(LIVE, new_word_share=0.2)
    for size in (1, 7, 30, 52):
        texts = ["where is my order" + (" hm" if rng.random() < 0.2 else "") for _ in range(size)]
        traffic.ask_many(texts, users=customers(size))
        watch(ledger, live)
    step_by_step = load(ledger, f"drift:{ROUTE}:{RELEASE}")
    other = Ledger(ledger.engine, project=ledger.project)
    with other.begin() as connection:
        connection.exec_driver_sql("DELETE FROM monitors")
    watch(ledger, live)
    assert load(ledger, f"drift:{ROUTE}:{RELEASE}") == step_by_step


def test_two_processes_at_once_count_once(ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process does a whole pass between the first one's reading and its writing."""
    Traffic(ledger).ask_many(["esim"] * 80, users=customers(80))
    second = open_ledger(ledger_url, project=ledger.project)
    real: Callable[..., object] = monitor_runs.save
    found: list[Finding] = []

    def save_after_the_other(*args: object, **kwargs: object) -> object:
        monkeypatch.setattr(monitor_runs, "save", real)
        found.extend(watch(second))
        return real(*args, **kwargs)

    monkeypatch.setattr(monitor_runs, "save", save_after_the_other)
    first = watch(ledger)
    second.close()
    assert len(first) + len(found) == len(ledger.find(Finding)) == 1


def test_a_crash_before_the_commit_loses_nothing_and_doubles_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Traffic(ledger).ask_many(["esim"] * 80, users=customers(80))

    def crash(*_args: object, **_kwargs: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "append", crash)
    with pytest.raises(KeyboardInterrupt):
        watch(ledger)
    monkeypatch.undo()
    assert ledger.find(Finding) == []
    assert [finding.kind for finding in watch(ledger)] == ["drift"]


def test_a_long_backlog_is_worked_off_in_bounded_passes(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_runs, "BATCH", 10)
    monkeypatch.setattr(monitor_runs, "BATCHES", 2)
    names = Traffic(ledger).ask_many(["where is my order"] * 55, users=customers(55))
    seen = []
    for _ in range(4):
        watch(ledger)
        place = load(ledger, f"drift:{ROUTE}:{RELEASE}")
        assert place.state is not None
        seen.append(int(place.state.split('"seen":')[1].split(",")[0]))
    assert seen == [20, 40, 55, 55]
    assert len(names) == 55


def test_what_is_not_known_of_a_release_is_not_watched(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    for request in traffic.ask_many(["esim"] * 60, users=customers(60)):
        traffic.say(request, score=0.0)
    assert watch(ledger, LiveView(release=RELEASE)) == []
