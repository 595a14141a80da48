"""Segments: on disk before the last byte, sealed, whole or told to be damaged, bounded."""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import CorruptionError
from flyball.gateway.config import GatewayConfig, RecordingConfig
from flyball.gateway.recording.segment_format import RequestEntry, SealedWriter, SegmentHeader, SegmentReader, decode
from flyball.gateway.recording.segment_writer import RecordingFailed, SegmentWriter
from flyball.security.keys import ProjectKey
from flyball.security.sealing import seal
from mock_engine import MockEngine
from record_samples import request_record
from running_gateway import KEY, RunningGateway, arm, chat, table
from small_shop import eventually


def entry(text: str = "my name is Jane Doe", **changes: object) -> RequestEntry:
    messages = [{"role": "user", "content": text}]
    return RequestEntry(record=request_record(**changes), messages=messages, answer="an answer")


def writer(folder: Path, **options: int | float) -> SegmentWriter:
    return SegmentWriter(folder, worker=0, project="shop", seal_key=KEY.seal_key, **options)  # type: ignore[arg-type]


def read(folder: Path) -> list[RequestEntry]:
    out = []
    for path in sorted(folder.glob("*.seg")):
        reader = SegmentReader(path, seal_key=KEY.seal_key)
        out += [decode(frame.plain) for frame in reader.frames(0) if frame.plain]
        reader.close()
    return out


def test_what_was_appended_can_be_read_at_once_and_only_with_the_key(tmp_path: Path) -> None:
    recorder = writer(tmp_path)
    written = [entry(f"number {number}") for number in range(20)]
    for item in written:
        recorder.append(item)
    assert read(tmp_path) == written
    (path,) = tmp_path.glob("*.seg")
    assert b"number" not in path.read_bytes() and b"shop" in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CorruptionError):
        SegmentReader(path, seal_key=ProjectKey(bytes(32)).seal_key)
    recorder.close()


def test_an_append_is_durable_within_100_ms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, real = threading.Event(), os.fdatasync

    def watch(fd: int) -> None:
        real(fd)
        synced.set()

    monkeypatch.setattr("flyball.gateway.recording.segment_writer.os.fdatasync", watch)
    recorder = writer(tmp_path)
    for _ in range(5):
        synced.clear()
        began = time.monotonic()
        recorder.append(entry())
        assert synced.wait(2)
        assert time.monotonic() - began < 0.2, "100 ms on an idle disk; this one is shared"
    recorder.close()


def test_who_asks_is_told_once_its_entry_is_durable(tmp_path: Path) -> None:
    recorder = writer(tmp_path)
    told: list[bool] = []
    done = threading.Event()
    number = recorder.append(entry())
    recorder.durable(number, lambda good: (told.append(good), done.set()))  # type: ignore[func-returns-value]
    assert done.wait(2) and told == [True]
    recorder.close()


def test_segments_rotate_by_size_and_age(tmp_path: Path) -> None:
    recorder = writer(tmp_path, rotate_bytes=4096)
    for _ in range(20):
        recorder.append(entry("x" * 1000))
    assert 4 <= len(list(tmp_path.glob("*.seg"))) <= 12
    recorder.close()
    aged = writer(tmp_path / "aged", rotate_s=0.05)
    aged.append(entry())
    time.sleep(0.1)
    aged.append(entry())
    assert len(list((tmp_path / "aged").glob("*.seg"))) == 2
    aged.close()


def test_segments_never_take_more_of_the_disk_than_allowed(tmp_path: Path) -> None:
    recorder = writer(tmp_path, max_disk_bytes=200_000)
    with pytest.raises(RecordingFailed) as caught:
        for _ in range(1000):
            recorder.append(entry("x" * 1000))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.seg")) <= 200_000
    assert "max_disk_mb" in caught.value.message and recorder.failing
    for path in tmp_path.glob("*.seg"):
        path.unlink()  # what the ingester does
    recorder.append(entry())
    assert not recorder.failing
    recorder.close()


def test_a_failed_write_leaves_no_torn_frame_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = writer(tmp_path)
    recorder.append(entry("first"))
    real = os.write
    monkeypatch.setattr(
        "flyball.gateway.recording.segment_writer.os.write", lambda fd, data: real(fd, data[: len(data) // 2])
    )
    with pytest.raises(RecordingFailed):
        recorder.append(entry("second"))
    monkeypatch.undo()
    recorder.append(entry("third"))
    assert [item.messages[0]["content"] for item in read(tmp_path)] == ["first", "third"]
    recorder.close()


@given(cut=st.integers(0, 400), flip=st.integers(0, 399))
def test_a_torn_or_altered_segment_yields_only_whole_true_frames(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    made = SealedWriter(identifier="x.seg", project="shop", created_ms=0, seal_key=KEY.seal_key)
    plains = [b"one" * 20, b"two" * 20, b"three" * 20]
    body = made.header + b"".join(made.frame(plain) for plain in plains)
    path = tmp_path_factory.mktemp("torn") / "x.seg"
    path.write_bytes(body[: max(len(made.header), len(body) - cut)])
    found = [frame.plain for frame in SegmentReader(path, seal_key=KEY.seal_key).frames(0)]
    assert found == plains[: len(found)]
    position = len(made.header) + flip % (len(body) - len(made.header))
    altered = bytearray(body)
    altered[position] ^= 0x41
    path.write_bytes(bytes(altered))
    found = [frame.plain for frame in SegmentReader(path, seal_key=KEY.seal_key).frames(0)]
    assert all(plain is None or plain in plains for plain in found)
    assert len([plain for plain in found if plain is not None]) < 3


def test_frames_cannot_be_moved_or_repeated(tmp_path: Path) -> None:
    made = SealedWriter(identifier="x.seg", project="shop", created_ms=0, seal_key=KEY.seal_key)
    other = SealedWriter(identifier="y.seg", project="shop", created_ms=0, seal_key=KEY.seal_key)
    path = tmp_path / "x.seg"
    path.write_bytes(made.header + other.frame(b"from elsewhere"))
    assert [frame.plain for frame in SegmentReader(path, seal_key=KEY.seal_key).frames(0)] == [None]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder in which no segment can be made."""
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / "segments").write_text("in the way")
    yield folder


@pytest.mark.parametrize("stream", [False, True])
def test_serve_answers_and_marks_what_it_could_not_record(full: Path, stream: bool) -> None:
    with MockEngine() as engine, RunningGateway(full, table(arm(engine))) as gateway:
        gateway.post("/v1/chat/completions", chat())  # from here on it is known to fail
        status, headers, body = gateway.post("/v1/chat/completions", chat(stream=stream))
        assert (status, headers["x-flyball-recording"]) == (200, "failed")
        assert not stream or b": x-flyball-recording: failed" in body
        text = gateway.get("/metrics")[2]
        assert b'flyball_gateway_recording_failures_total{kind="request",worker="0"} 2' in text
        assert b'flyball_gateway_recording_failing{worker="0"} 1' in text


def test_the_first_answer_that_cannot_be_recorded_is_marked_too(full: Path) -> None:
    with MockEngine() as engine, RunningGateway(full, table(arm(engine))) as gateway:
        assert gateway.post("/v1/chat/completions", chat())[1]["x-flyball-recording"] == "failed"
        assert gateway.post("/v1/feedback", {"client_id": "x", "score": 1})[0] == 503, "feedback is never lost silently"


def test_refuse_gives_no_answer_that_is_not_recorded_and_recovers(full: Path) -> None:
    config = GatewayConfig(recording=RecordingConfig(on_failure="refuse"))
    with MockEngine() as engine, RunningGateway(full, table(arm(engine)), config=config) as gateway:
        for _ in range(2):
            status, _, body = gateway.post("/v1/chat/completions", chat())
            assert (status, body["error"]["code"]) == (503, "recording_failed")
        assert len(engine.bodies) == 1, "known to fail: the engine is not asked again"
        (full / "segments").unlink()
        eventually(lambda: gateway.post("/v1/chat/completions", chat())[0] == 200, timeout_s=5)


def test_the_record_is_on_disk_before_the_last_byte_is_sent(tmp_path: Path) -> None:
    with MockEngine() as engine, RunningGateway(tmp_path, table(arm(engine))) as gateway:
        for number in range(1, 30):
            stream = gateway.client().chat.completions.create(**chat(stream=number % 2 == 0))
            if number % 2 == 0:
                list(stream)
            assert len(gateway.requests()) == number


def version_1(folder: Path, plains: list[bytes]) -> Path:
    """A segment as Flyball wrote it before version 2: JSON entries, each with a CRC-32."""
    context, key = b"old-0.seg", AESGCM.generate_key(256)
    wrapped = seal(KEY.seal_key, key, context=b"segment:" + context)
    header = SegmentHeader(version=1, id=context.decode(), project="shop", created_ms=0, key=wrapped)
    body = msgspec.json.encode(header)
    data = b"FLYBSEG1" + struct.pack("<II", len(body), zlib.crc32(body)) + body
    for counter, plain in enumerate(plains, start=1):
        number = counter.to_bytes(8, "little")
        sealed = AESGCM(key).encrypt(b"\0\0\0\0" + number, plain, context + number)
        data += struct.pack("<IIQ", len(sealed), zlib.crc32(sealed, zlib.crc32(number)), counter) + sealed
    path = folder / context.decode()
    path.write_bytes(data)
    return path


def test_segments_of_version_1_are_still_read(tmp_path: Path) -> None:
    written = [entry(f"number {number}") for number in range(3)]
    path = version_1(tmp_path, [msgspec.json.encode(item) for item in written])
    assert read(tmp_path) == written
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(bytes(damaged))
    assert read(tmp_path) == written[:2]


def test_whatever_a_client_may_send_is_recorded_word_for_word(tmp_path: Path) -> None:
    recorder = writer(tmp_path)
    odd = [{"role": "user", "content": "ü\u0000\U0001f600", "n": 10**40, "x": -(2**70), "y": 1e300, "z": None}]
    item = RequestEntry(record=request_record(), messages=odd, answer="\n", choices=[{"tool_calls": []}])
    recorder.append(item)
    recorder.close()
    assert read(tmp_path) == [item]


def test_all_workers_share_one_bound_on_disk(tmp_path: Path) -> None:
    bound = 1_048_576
    writers = [
        SegmentWriter(tmp_path, worker=number, project="shop", seal_key=KEY.seal_key, writers=4, max_disk_bytes=bound)
        for number in range(4)
    ]
    alive, appended = set(range(4)), 0
    while alive:
        for number in sorted(alive):
            try:
                writers[number].append(entry("x" * 4000))
                appended += 4000
            except RecordingFailed:
                alive.discard(number)
    for recorder in writers:
        recorder.close()
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 0.8 * bound < appended and on_disk <= 1.125 * bound, "all of it is used, and little more"
