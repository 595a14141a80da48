"""Prepares long texts for one gateway worker, which it ends with. I/O: standard input and output.

Run as `python -m flyball.gateway.long_texts_process WORKER`, with the worker's pid.
"""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO

import msgspec

from flyball.errors import FlyballError
from flyball.gateway.engine_prompt import prompted
from flyball.gateway.http.openai_errors import refusal_of
from flyball.gateway.long_texts import FRAME, MOST_RELEASES, READY, Done, Job
from flyball.gateway.upstream.lenient_json import body_of
from flyball.inference.prompt_path import PromptPath
from flyball.records import Release
from flyball.supervision.parent_death import ends_with


def main(worker: int) -> None:
    """Answer jobs until there are none any more."""
    if ends_with(worker, signal.SIGKILL):
        serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(asked: BinaryIO, told: BinaryIO) -> None:
    """Read jobs and write what becomes of them, one after the other."""
    paths: dict[str, PromptPath] = {}
    told.write(READY)
    told.flush()
    decoder, encoder = msgspec.msgpack.Decoder(Job), msgspec.msgpack.Encoder()
    while head := asked.read(FRAME.size):
        (size,) = FRAME.unpack(head)
        frame = encoder.encode(_done(decoder.decode(asked.read(size)), paths))
        told.write(FRAME.pack(len(frame)) + frame)
        told.flush()


def _done(job: Job, paths: dict[str, PromptPath]) -> Done:
    if job.release is not None:
        if len(paths) >= MOST_RELEASES:
            paths.clear()
        paths[job.release_name] = PromptPath(msgspec.json.decode(job.release, type=Release))
    path = paths[job.release_name]
    try:
        payload, ignored = prompted(path, job.kind, body_of(job.raw), count=job.count)
    except FlyballError as error:
        refusal = refusal_of(error)
        return Done(status=refusal.status, message=refusal.message, code=refusal.code, param=refusal.param)
    return Done(payload, ignored)


if __name__ == "__main__":
    main(int(sys.argv[1]))
