"""Chart specifications into SVG. I/O: starts a child process per new chart, which exits.

A chart is a picture of values that its page also shows as a table, so a missing renderer loses nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from importlib.util import find_spec

import msgspec

from flyball.console.chart_specs import Spec
from flyball.errors import EnvironmentMissing

TIMEOUT_S = 20.0
KEPT = 48


def can_render() -> bool:
    """Whether the renderer is installed (it is looked for, not loaded)."""
    return find_spec("vl_convert") is not None


async def render(spec: Spec, *, timeout_s: float = TIMEOUT_S) -> bytes:
    """`spec` as SVG, made by a child process that is gone when this returns; EnvironmentMissing when it cannot."""
    if not can_render():
        raise EnvironmentMissing("charts need vl-convert", cure='pip install "flyball[console]"')
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flyball.console.chart_worker", stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(msgspec.json.encode(spec)), timeout_s)
    except (TimeoutError, asyncio.CancelledError) as error:
        child.kill()
        await child.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise EnvironmentMissing(f"the chart took over {timeout_s:g} s", cure="see the table beside it") from error
    if child.returncode != 0 or not out.lstrip().startswith(b"<svg"):
        reason = err.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise EnvironmentMissing(f"the chart could not be drawn: {reason[0]}", cure="see the table beside it")
    return out


@dataclass(slots=True)
class ChartStore:
    """The last charts by the hash of their specification; one is drawn at a time, so that a page costs one core."""

    kept: int = KEPT
    timeout_s: float = TIMEOUT_S
    _charts: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _drawing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def svg(self, spec: Spec) -> bytes:
        """The chart of `spec`, drawn now or before."""
        name = hashlib.sha256(msgspec.json.encode(spec)).hexdigest()
        async with self._drawing:
            if name not in self._charts:
                self._charts[name] = await render(spec, timeout_s=self.timeout_s)
                while len(self._charts) > self.kept:
                    self._charts.popitem(last=False)
            self._charts.move_to_end(name)
            return self._charts[name]
