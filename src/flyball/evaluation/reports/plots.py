"""Vega-Lite specifications to SVG. I/O: a child process that ends, so that 100 MB of renderer do not stay in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import msgspec

from flyball.telemetry import log

TIMEOUT_S = 60.0


def svgs(charts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """SVG by chart name; empty when vl-convert is not installed or fails: a report without pictures is still one."""
    if not charts or find_spec("vl_convert") is None:
        return {}
    command = [sys.executable, "-m", "flyball.evaluation.reports.plots"]
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(charts), capture_output=True, timeout=TIMEOUT_S, check=True
        )
        return msgspec.json.decode(done.stdout, type=dict[str, str])
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        log.warning("the report has no charts: %s", error)
        return {}


def main() -> None:
    """Read specifications as JSON from standard input, write SVG by name to standard output."""
    import vl_convert  # 100 MB and the reason for this process

    charts = msgspec.json.decode(sys.stdin.buffer.read())
    drawn = {name: vl_convert.vegalite_to_svg(specification) for name, specification in charts.items()}
    sys.stdout.buffer.write(msgspec.json.encode(drawn))


if __name__ == "__main__":
    main()
