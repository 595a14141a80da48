"""The numbers of all workers on one port, whichever of them is scraped, and of control. I/O: small files.

The kernel gives a scrape to any worker. Each one leaves its page beside those of the others about once a second, and
the worker that is asked answers with its own numbers of now and the pages of the others; a worker's label keeps them
apart.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from flyball.telemetry import log
from flyball.whole_files import replace_file

STALE_S = 15.0
"""A page that was not written again for so long is of a worker that is gone."""
_FAMILY = b"# HELP "


class MetricsPages:
    """The folder of the pages; a worker that is `alone` on its port keeps none of its own."""

    def __init__(self, folder: Path | None, worker: int, *, alone: bool) -> None:
        self._folder = folder
        self._file = folder / f"gateway-{worker}.prom" if folder and not alone else None
        self._failing = False

    def keep(self, page: Callable[[], bytes]) -> None:
        """Leave this worker's page for the others; a failure is logged once, and harms nothing else."""
        if self._file is None:
            return
        try:
            replace_file(self._file, page(), durable=False)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.error("metrics cannot be shared with the other workers: %s", error)
            self._failing = True

    def forget(self) -> None:
        """This worker ends."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()

    def with_others(self, own: bytes) -> bytes:
        """This worker's page of now with those of the others."""
        return merged([own, *self._others()])

    def _others(self) -> Iterator[bytes]:
        if self._folder is None:
            return
        for file in sorted(self._folder.glob("*.prom")):
            with contextlib.suppress(OSError):
                if file != self._file and time.time() - file.stat().st_mtime < STALE_S:
                    yield file.read_bytes()


def merged(pages: Iterable[bytes]) -> bytes:
    """Pages of Prometheus text as one: the format wants all samples of a name together, under one HELP and TYPE."""
    families: dict[bytes, list[bytes]] = {}
    for page in pages:
        for family in page.split(_FAMILY)[1:]:
            about, kind, samples = family.split(b"\n", 2)
            families.setdefault(about.split(b" ", 1)[0], [b"%b%b\n%b\n" % (_FAMILY, about, kind)]).append(samples)
    return b"".join(part for parts in families.values() for part in parts)
