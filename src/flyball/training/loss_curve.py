"""The loss curve of a training run: named fields, as `dvc plots` takes them. I/O: curve.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from flyball.errors import CorruptionError


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One optimizer step: its loss (nats per token) and learning rate."""

    step: int
    loss: float
    learning_rate: float


def write_curve(path: Path, points: Sequence[CurvePoint], measured: Sequence[Mapping[str, float]] = ()) -> None:
    """Write a list of objects, one point a line, each with what else was `measured` at its step."""
    more = measured or [{}] * len(points)
    rows = (msgspec.structs.asdict(point) | dict(found) for point, found in zip(points, more, strict=True))
    lines = b",\n".join(map(msgspec.json.encode, rows))
    path.write_bytes(b"[\n" + lines + b"\n]\n")


def read_curve(path: Path) -> tuple[CurvePoint, ...]:
    """The points of a curve.json, also of an older one ([step, loss, rate] lists); none where there is no file."""
    if not path.is_file():
        return ()
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[CurvePoint | tuple[int, float, float]])
    except msgspec.MsgspecError as error:
        raise CorruptionError(f"{path} is not a loss curve: {error}", cure="run `flyball train` again") from error
    return tuple(
        point if isinstance(point, CurvePoint) else CurvePoint(step=point[0], loss=point[1], learning_rate=point[2])
        for point in found
    )


def thinned(points: Sequence[CurvePoint], most: int) -> tuple[CurvePoint, ...]:
    """At most `most` points: the mean loss of neighbouring steps, each at the last of them."""
    if len(points) <= most:
        return tuple(points)
    found = []
    for i in range(most):
        part = points[i * len(points) // most : (i + 1) * len(points) // most]
        loss = sum(point.loss for point in part) / len(part)
        found.append(CurvePoint(step=part[-1].step, loss=loss, learning_rate=part[-1].learning_rate))
    return tuple(found)
