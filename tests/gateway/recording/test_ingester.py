"""From segments to the ledger: each record once, readable texts redacted, originals sealed, whatever dies when."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from flyball.gateway.config import RecordingConfig
from flyball.gateway.context import IngestContext
from flyball.gateway.recording import ingester, ledger_writer
from flyball.gateway.recording.ingester import ingest_once, run_ingester
from flyball.gateway.recording.segment_format import FeedbackEntry, RequestEntry
from flyball.gateway.recording.segment_writer import SegmentWriter
from flyball.records import Feedback, Finding
from flyball.records.identity import uuid7
from flyball.security.sealing import SubjectKeys, unseal
from flyball.storage import tables, traffic
from flyball.storage.ledger import Ledger
from mock_engine import MockEngine
from record_samples import request_record
from running_gateway import KEY, RunningGateway, arm, chat, release, table

PERSONAL = "I am jane@example.com, call +49 170 1234567"


@pytest.fixture
def context(tmp_path: Path, ledger: Ledger) -> IngestContext:
    folder = tmp_path / "segments"
    return IngestContext(
        recording=RecordingConfig(sealed_days=2.0), project="shop", segments_dir=folder, project_key=KEY, ledger=ledger
    )


@pytest.fixture
def writer(context: IngestContext) -> Iterator[SegmentWriter]:
    opened = make_writer(context)
    yield opened
    opened.close()


def make_writer(context: IngestContext, worker: int = 0) -> SegmentWriter:
    return SegmentWriter(context.segments_dir, worker=worker, project="shop", seal_key=KEY.seal_key)


def asked(record: Any = None, text: str = PERSONAL, **options: Any) -> RequestEntry:
    messages = [{"role": "user", "content": text}]
    return RequestEntry(record=record or request_record(), messages=messages, answer=f"Dear {text}", **options)


def said(**changes: Any) -> FeedbackEntry:
    correction = changes.pop("correction", None)
    values: dict[str, Any] = {
        "id": uuid7(),
        "project": "shop",
        "request": None,
        "client_id": None,
        "key_id": "local",
        "score": 0.0,
        "label": None,
        "has_correction": correction is not None,
        "has_comment": False,
        "at_ms": 1,
    }
    return FeedbackEntry(feedback=Feedback(**{**values, **changes}), correction=correction)


def rows(ledger: Ledger, table_: Any) -> int:
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table_)).scalar_one())


def test_a_request_arrives_with_its_original_sealed_and_its_text_redacted(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger
) -> None:
    record = request_record(subject="s" * 64, started_ms=1_000)
    writer.append(asked(record))
    assert ingest_once(context) == 1
    assert traffic.get_request(ledger, record.id) == record
    payload = traffic.payload_of(ledger, record.id)
    assert payload is not None and payload.sealed is not None and payload.redacted is not None
    assert "jane@example.com" not in payload.redacted and "1234567" not in payload.redacted
    assert json.loads(payload.redacted)["messages"][0]["role"] == "user"
    assert (payload.subject, payload.expires_ms) == ("s" * 64, 1_000 + 2 * 86_400_000)
    with ledger.read() as connection:
        key = SubjectKeys(KEY).get(connection, "shop", "s" * 64)
    assert key is not None
    original = json.loads(unseal(key, payload.sealed, context=record.id.encode()))
    assert original == {"messages": [{"role": "user", "content": PERSONAL}], "answer": f"Dear {PERSONAL}"}


def test_a_text_that_redaction_fails_on_is_hidden_and_stops_nothing(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    redact = ledger_writer.redact

    def failing(text: str, profile: str) -> Any:
        if "poison" in text:
            raise ValueError("a bug in a check")
        return redact(text, profile)

    monkeypatch.setattr(ledger_writer, "redact", failing)
    poison, good = request_record(), request_record()
    writer.append(asked(poison, text=f"poison {PERSONAL}"))
    writer.append(asked(good))
    writer.close()
    assert ingest_once(context) == 2
    hidden, readable = (traffic.payload_of(ledger, record.id) for record in (poison, good))
    assert hidden is not None and readable is not None and hidden.redacted is not None and hidden.sealed is not None
    assert json.loads(hidden.redacted)["messages"][0]["content"] == ledger_writer.HIDDEN
    assert "poison" not in hidden.redacted and "jane" not in hidden.redacted
    assert readable.redacted is not None and "<EMAIL>" in readable.redacted


@pytest.mark.parametrize("depth", [600, 900])
def test_no_depth_of_what_was_asked_stops_the_ingester(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger, depth: int
) -> None:
    deep: Any = PERSONAL
    for _ in range(depth):
        deep = [deep]
    writer.append(RequestEntry(record=request_record(), messages=deep, answer="x"))
    writer.append(asked(dataclasses.replace(request_record(), id=uuid7())))
    ingest_once(context)
    assert rows(ledger, tables.requests) >= 1 and ingest_once(context) == 0


def test_a_release_without_redaction_is_still_redacted_where_people_read(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger
) -> None:
    item = asked(redaction="none")
    writer.append(item)
    ingest_once(context)
    payload = traffic.payload_of(ledger, item.record.id)
    assert payload is not None and "jane@example.com" not in (payload.redacted or "")


def test_without_a_user_each_request_has_a_key_of_its_own(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger
) -> None:
    for _ in range(2):
        writer.append(asked())
    ingest_once(context)
    assert rows(ledger, tables.subject_keys) == 2


def test_feedback_finds_its_request_by_the_callers_own_id_and_is_sealed_with_it(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger
) -> None:
    record = request_record(client_id="c" * 64, subject="s" * 64)
    other = make_writer(context, worker=1)
    other.append(said(client_id="c" * 64, correction="call me at jane@example.com"))  # read before its request
    writer.append(asked(record))
    ingest_once(context)
    (feedback,) = traffic.feedback_of(ledger, record.id)
    payload = traffic.payload_of(ledger, feedback.id)
    assert payload is not None and payload.subject == "s" * 64
    assert json.loads(payload.redacted or "")["correction"].endswith("<EMAIL>")
    other.close()


def test_feedback_of_another_key_or_an_unknown_id_is_kept_without_a_request(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger
) -> None:
    writer.append(asked(request_record(client_id="c" * 64)))
    writer.append(said(client_id="c" * 64, key_id="another"))
    writer.append(said(client_id="d" * 64, correction="x"))
    ingest_once(context)
    with ledger.read() as connection:
        assert connection.execute(select(tables.feedback.c.request)).scalars().all() == [None, None]


def test_the_same_feedback_twice_is_there_once(context: IngestContext, writer: SegmentWriter, ledger: Ledger) -> None:
    item = said(correction="x")
    writer.append(item)
    writer.append(item)
    ingest_once(context)
    assert rows(ledger, tables.feedback) == 1


def test_a_segment_that_another_took_in_and_deleted_meanwhile_is_done_with(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.append(asked())
    writer.close()
    finish = ingester._finish

    def late(*arguments: Any) -> None:
        monkeypatch.setattr(ingester, "_finish", finish)
        assert ingest_once(context) == 0 and not list(context.segments_dir.glob("*.seg"))
        finish(*arguments)

    monkeypatch.setattr(ingester, "_finish", late)
    assert ingest_once(context) == 1
    assert rows(ledger, tables.requests) == 1 and rows(ledger, tables.segments) == 0


def test_a_living_writers_segment_is_followed_and_a_finished_one_deleted(
    context: IngestContext, ledger: Ledger
) -> None:
    writer = make_writer(context)
    for round_ in range(3):
        writer.append(asked())
        assert ingest_once(context) == 1
        assert rows(ledger, tables.requests) == round_ + 1
        assert len(list(context.segments_dir.glob("*.seg"))) == 1
    writer.close()
    ingest_once(context)
    assert not list(context.segments_dir.glob("*.seg"))
    assert rows(ledger, tables.segments) == 0


def test_a_torn_last_frame_of_a_dead_writer_is_left_out(context: IngestContext, ledger: Ledger) -> None:
    writer = make_writer(context)
    writer.append(asked())
    writer.append(asked())
    writer.close()
    (path,) = context.segments_dir.glob("*.seg")
    path.write_bytes(path.read_bytes()[:-7])
    ingest_once(context)
    assert rows(ledger, tables.requests) == 1
    assert not list(context.segments_dir.glob("*.seg")), "a torn end is no damage: it was never acknowledged"


def test_a_damaged_frame_is_reported_its_segment_kept_and_the_rest_taken_in(
    context: IngestContext, ledger: Ledger
) -> None:
    writer = make_writer(context)
    for _ in range(3):
        writer.append(asked())
    writer.close()
    (path,) = context.segments_dir.glob("*.seg")
    data = bytearray(path.read_bytes())
    frame = (len(data) - data.index(b"}", 20)) // 3
    data[len(data) - frame - frame // 2] ^= 0xFF  # inside the second of three
    path.write_bytes(bytes(data))
    ingest_once(context)
    ingest_once(context)
    assert rows(ledger, tables.requests) == 2
    assert [kept.name for kept in (context.segments_dir / "corrupt").iterdir()] == [path.name]
    (stored,) = ledger.find(Finding)
    assert isinstance(stored.record, Finding)
    assert (stored.record.kind, stored.record.severity, stored.record.value) == ("recording", "critical", 1.0)


def test_a_file_that_is_no_segment_is_set_aside_and_reported(context: IngestContext, ledger: Ledger) -> None:
    context.segments_dir.mkdir(parents=True)
    (context.segments_dir / "junk.seg").write_bytes(b"this is not a segment at all, is it?")
    writer = make_writer(context)
    writer.append(asked())
    assert ingest_once(context) == 1
    assert (context.segments_dir / "corrupt" / "junk.seg").exists()
    assert len(ledger.find(Finding)) == 1
    writer.close()


def test_many_entries_are_taken_in_batches(context: IngestContext, writer: SegmentWriter, ledger: Ledger) -> None:
    for _ in range(600):
        writer.append(asked(text="short"))
    assert ingest_once(context) == 600
    assert rows(ledger, tables.requests) == rows(ledger, tables.payloads) == 600


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=14))
def test_every_feedback_finds_its_request_in_whatever_order_segments_are_read(
    sqlite_ledger: Ledger, tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[int, int, bool]]
) -> None:
    """Each step writes a request to one segment and a feedback about it to another, before or after others' entries."""
    folder = tmp_path_factory.mktemp("segments")
    context = IngestContext(
        recording=RecordingConfig(), project="shop", segments_dir=folder, project_key=KEY, ledger=sqlite_ledger
    )
    writers = [make_writer(context, worker) for worker in range(3)]
    late, feedback = [], {}
    for home, elsewhere, delayed in plan:
        request = asked(request_record(client_id=uuid7()))
        words = said(client_id=request.record.client_id)
        feedback[words.feedback.id] = request.record.id
        if delayed:
            writers[elsewhere].append(words)
            late.append((home, request))
        else:
            writers[home].append(request)
            writers[elsewhere].append(words)
    for home, request in reversed(late):
        writers[home].append(request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flyball.gateway.recording.ingester.BATCH", 2)
        ingest_once(context)
    with sqlite_ledger.read() as connection:
        found = connection.execute(select(tables.feedback.c.id, tables.feedback.c.request)).all()
    assert {row.id: row.request for row in found if row.id in feedback} == feedback
    for writer in writers:
        writer.close()


def test_an_interrupted_transaction_is_simply_done_again(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        writer.append(asked())

    def failing(*_: Any) -> None:
        raise OSError("the machine stumbles")

    monkeypatch.setattr(traffic, "add_payloads", failing)
    with pytest.raises(OSError):
        ingest_once(context)
    monkeypatch.undo()
    assert rows(ledger, tables.requests) == 0
    assert ingest_once(context) == 10
    assert rows(ledger, tables.requests) == rows(ledger, tables.payloads) == 10


def test_an_answer_is_in_the_ledger_within_half_a_second(tmp_path: Path, ledger: Ledger) -> None:
    stop = threading.Event()
    with MockEngine() as engine, RunningGateway(tmp_path, table(arm(engine)), ledger=ledger) as gateway:
        context = gateway.ingest_context(ledger)
        thread = threading.Thread(target=run_ingester, args=(context,), kwargs={"stop": stop.is_set}, daemon=True)
        thread.start()
        try:
            gateway.post("/v1/chat/completions", chat())
            waits = []
            for number in range(2, 6):
                identifier = gateway.post("/v1/chat/completions", chat(user="jane"))[1]["x-flyball-request-id"]
                began = time.monotonic()
                while rows(ledger, tables.requests) < number:
                    assert time.monotonic() - began < 3
                    time.sleep(0.01)
                waits.append(time.monotonic() - began)
                assert traffic.get_request(ledger, identifier).outcome == "ok"
            assert sorted(waits)[len(waits) // 2] < 0.5
        finally:
            stop.set()
            thread.join(5)


def test_the_profile_of_a_feedback_is_its_releases(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger
) -> None:
    from flyball.records import fingerprint

    candidate = release()
    ledger.append(candidate)
    record = request_record(release=fingerprint(candidate))
    writer.append(asked(record))
    item = said(request=record.id, correction="write to jane@example.com")
    writer.append(item)
    ingest_once(context)
    payload = traffic.payload_of(ledger, item.feedback.id)
    assert payload is not None and "<EMAIL>" in (payload.redacted or "")


def test_nothing_personal_is_readable_anywhere_in_the_ledger(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger
) -> None:
    writer.append(asked(request_record(subject="s" * 64)))
    writer.append(said(correction=PERSONAL))
    ingest_once(context)
    with ledger.read() as connection:
        for name in ("requests", "payloads", "feedback", "records"):
            for row in connection.execute(text(f"SELECT * FROM {name}")):
                assert "jane@example.com" not in str([bytes(v) if isinstance(v, memoryview) else v for v in row])


def test_a_verdict_that_gives_the_right_answer_is_scored_against_the_original(
    context: IngestContext, writer: SegmentWriter, ledger: Ledger
) -> None:
    record, other = request_record(client_id="c" * 64), request_record()
    writer.append(said(request=record.id, score=None, judge="books", correction=f"Dear  {PERSONAL}\n"))
    writer.append(said(client_id="c" * 64, score=None, judge="books", label="refund"))
    writer.append(said(request=other.id, score=None, correction=f"Dear {PERSONAL}"))  # an opinion is not scored
    writer.append(said(request="gone", score=None, judge="books", label="refund"))
    for one in (record, other):
        writer.append(asked(one))
    ingest_once(context)
    assert [one.score for one in traffic.feedback_of(ledger, record.id)] == [1.0, 0.0]
    assert [one.score for one in traffic.feedback_of(ledger, other.id)] == [None]
    assert [one.score for one in traffic.feedback_of(ledger, "gone")] == [None]


def test_a_segment_of_a_newer_flyball_is_left_alone_and_told_once(
    context: IngestContext, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyball.gateway.recording.segment_format.VERSION", 3)
    writer = make_writer(context)
    writer.append(asked())
    writer.close()
    monkeypatch.undo()
    for _ in range(2):
        assert ingest_once(context) == 0
    (path,) = context.segments_dir.glob("*.seg")
    (stored,) = ledger.find(Finding)
    assert isinstance(stored.record, Finding)
    assert (stored.record.measure, path.name in stored.record.explanation) == ("newer_segment", True)
    monkeypatch.setattr("flyball.gateway.recording.segment_format.VERSION", 3)  # the upgrade
    assert ingest_once(context) == 1
    assert not list(context.segments_dir.glob("*.newer"))


def test_damaged_segments_are_bounded_on_disk_and_each_that_is_dropped_is_named(
    context: IngestContext, ledger: Ledger
) -> None:
    bounded = dataclasses.replace(context, recording=RecordingConfig(max_disk_mb=1))
    bounded.segments_dir.mkdir(parents=True)
    for number in range(5):
        (bounded.segments_dir / f"junk-{number}.seg").write_bytes(b"not a segment".ljust(100_000))
        ingest_once(bounded)
    kept = sorted(path.name for path in (bounded.segments_dir / "corrupt").iterdir())
    assert kept == ["junk-3.seg", "junk-4.seg"], "256 KiB hold two of them"
    findings = [stored.record for stored in ledger.find(Finding)]
    dropped = [found for found in findings if isinstance(found, Finding) and found.measure == "dropped_segment"]
    assert sorted(found.evidence["segment"] for found in dropped) == ["junk-0.seg", "junk-1.seg", "junk-2.seg"]
