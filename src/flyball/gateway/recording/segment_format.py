"""The format of a segment: a header with the wrapped key, then sealed frames. I/O: reads segment files.

    header   b"FLYBSEG1" | u32 length | u32 CRC-32 | JSON {version, id, project, created_ms, key}
    frame    u32 length | u64 counter | AES-GCM of one entry
    entry    MessagePack, or JSON where MessagePack has no form for it (integers of more than 64 bits)

Each segment has a key of its own, wrapped by the project's; a frame's nonce is its counter, its context the segment's
id and the counter, so that frames can be neither moved nor repeated. Version 1 had a CRC-32 of each frame between
length and counter, and JSON only; it is still read. Readers ignore unknown fields of an entry, and leave a segment of a
later version alone until they are upgraded.
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
VERSION = 2
MAX_FRAME = 64 * 1024 * 1024
_HEAD = struct.Struct("<II")
_FRAME = struct.Struct("<IQ")
_FRAME_1 = struct.Struct("<IIQ")


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
        return len(sealed).to_bytes(4, "little") + number + sealed


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
        shape = _FRAME_1 if self.header.version == 1 else _FRAME
        while len(head := self._file.read(shape.size)) == shape.size:
            length, *checksum, counter = shape.unpack(head)
            if length > MAX_FRAME:
                yield Frame(None, -1)  # a damaged length: nothing behind it can be found
                return
            sealed = self._file.read(length)
            if len(sealed) < length:
                return
            position += shape.size + length
            yield Frame(self._open(sealed, checksum, counter), position)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _open(self, sealed: bytes, checksum: list[int], counter: int) -> bytes | None:
        number = counter.to_bytes(8, "little")
        if checksum and zlib.crc32(sealed, zlib.crc32(number)) != checksum[0]:
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
        header = msgspec.json.decode(body, type=SegmentHeader)
        if header.version > VERSION:
            raise NewerSegment(f"{self.path.name} has version {header.version}, this Flyball reads up to {VERSION}")
        return header, size + length


class NewerSegment(Exception):
    """The segment was written by a newer Flyball; this one must not touch it."""


class TornHeader(Exception):
    """The segment's first bytes are not all there: it is being made, or its writer died making it."""


def encode(entry: Entry) -> bytes:
    """The bytes of an entry before they are sealed."""
    try:
        return _PACK.encode(entry)
    except OverflowError:
        return msgspec.json.encode(entry)


def decode(plain: bytes) -> Entry:
    """The entry in a frame of any version; msgspec.MsgspecError when it is none."""
    entry: Entry = _READ_JSON.decode(plain) if plain.startswith(b"{") else _READ_PACK.decode(plain)
    return entry


_PACK = msgspec.msgpack.Encoder()
_READ_PACK = msgspec.msgpack.Decoder(Entry)
_READ_JSON = msgspec.json.Decoder(Entry)
