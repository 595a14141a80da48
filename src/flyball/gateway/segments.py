"""The format of a segment: a header with the wrapped key, then sealed frames. I/O: reads segment files.

    header   b"FLYBSEG1" | u32 length | u32 CRC-32 | JSON {version, id, project, created_ms, key}
    frame    u32 length | u32 CRC-32 | u64 counter | AES-GCM of one entry's JSON

Each segment has a key of its own, wrapped by the project's; a frame's nonce is its counter, its context the segment's
id and the counter, so that frames can be neither moved nor repeated. Readers ignore unknown fields of an entry, so a
segment of the next minor version is readable by this one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from flyball.errors import CorruptionError
from flyball.records import Feedback, RequestRecord
from flyball.security.sealing import seal, unseal

MAGIC = b"FLYBSEG1"
VERSION = 1
MAX_FRAME = 64 * 1024 * 1024
_HEAD = struct.Struct("<II")
_FRAME = struct.Struct("<IIQ")


class RequestEntry(msgspec.Struct, frozen=True, kw_only=True, tag="request", tag_field="kind"):
    """A request as it was answered: its record, what was asked, what was said, and how to redact both."""

    record: RequestRecord
    messages: Any
    answer: str
    choices: Any = None  # where there was more than one plain text: further choices, tool calls
    redaction: str = "default"


class FeedbackEntry(msgspec.Struct, frozen=True, kw_only=True, tag="feedback", tag_field="kind"):
    """A feedback with the texts that came with it."""

    feedback: Feedback
    correction: str | None = None
    comment: str | None = None


Entry = RequestEntry | FeedbackEntry


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first part of a segment."""

    version: int
    id: str
    project: str
    created_ms: int
    key: bytes


class SealedWriter:
    """Makes the bytes of one segment; writes nothing itself."""

    def __init__(self, *, identifier: str, project: str, created_ms: int, seal_key: bytes) -> None:
        self.id = identifier
        self._context = identifier.encode()
        key = AESGCM.generate_key(256)
        self._cipher = AESGCM(key)
        self._counter = 0
        wrapped = seal(seal_key, key, context=b"segment:" + self._context)
        header = SegmentHeader(version=VERSION, id=identifier, project=project, created_ms=created_ms, key=wrapped)
        body = msgspec.json.encode(header)
        self.header = MAGIC + _HEAD.pack(len(body), zlib.crc32(body)) + body

    def frame(self, plain: bytes) -> bytes:
        """One sealed frame; a counter is never used twice, even for a frame that could not be written."""
        self._counter = counter = self._counter + 1
        number = counter.to_bytes(8, "little")
        sealed = self._cipher.encrypt(b"\0\0\0\0" + number, plain, self._context + number)
        return _FRAME.pack(len(sealed), zlib.crc32(sealed, zlib.crc32(number)), counter) + sealed


@dataclass(frozen=True, slots=True)
class Frame:
    """One readable frame and the offset behind it; `plain` is None where its bytes are damaged."""

    plain: bytes | None
    end: int


class SegmentReader:
    """Reads one segment from an offset, as far as whole frames go."""

    def __init__(self, path: Path, *, seal_key: bytes) -> None:
        self.path = path
        self._file = path.open("rb")
        self.header, self.start = self._read_header(seal_key)
        self._context = self.header.id.encode()
        self._cipher = AESGCM(unseal(seal_key, self.header.key, context=b"segment:" + self._context))

    def frames(self, offset: int) -> Iterator[Frame]:
        """Frames from `offset` on; ends before the first one that is not all there."""
        position = max(offset, self.start)
        self._file.seek(position)
        while len(head := self._file.read(_FRAME.size)) == _FRAME.size:
            length, checksum, counter = _FRAME.unpack(head)
            if length > MAX_FRAME:
                yield Frame(None, -1)  # a damaged length: nothing behind it can be found
                return
            sealed = self._file.read(length)
            if len(sealed) < length:
                return
            position += _FRAME.size + length
            yield Frame(self._open(sealed, checksum, counter), position)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _open(self, sealed: bytes, checksum: int, counter: int) -> bytes | None:
        number = counter.to_bytes(8, "little")
        if zlib.crc32(sealed, zlib.crc32(number)) != checksum:
            return None
        try:
            return self._cipher.decrypt(b"\0\0\0\0" + number, sealed, self._context + number)
        except InvalidTag:
            return None

    def _read_header(self, seal_key: bytes) -> tuple[SegmentHeader, int]:
        size = len(MAGIC) + _HEAD.size
        head = self._file.read(size)
        if len(head) < size:
            raise TornHeader(self.path.name)
        length, checksum = _HEAD.unpack(head[len(MAGIC) :])
        if not head.startswith(MAGIC) or length > MAX_FRAME:
            raise CorruptionError(f"{self.path.name} is not a segment", cure="it is kept in segments/corrupt")
        body = self._file.read(length)
        if len(body) < length:
            raise TornHeader(self.path.name)
        if zlib.crc32(body) != checksum:
            raise CorruptionError(f"the header of {self.path.name} is damaged", cure="it is kept in segments/corrupt")
        return msgspec.json.decode(body, type=SegmentHeader), size + length


class TornHeader(Exception):
    """The segment's first bytes are not all there: it is being made, or its writer died making it."""


ENCODER = msgspec.json.Encoder()
DECODER = msgspec.json.Decoder(Entry)
