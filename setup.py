"""Compiles the gateway's way of a request with mypyc where FLYBALL_COMPILE is set; else all stays Python.

`FLYBALL_COMPILE=1 pip install .` does it where a C compiler is. `make compiled` does it twice beside the checkout: what
`FLYBALL_COMPILE=count` built counts into the folder FLYBALL_PROFILE which branches it takes (GCC), and with that folder
`FLYBALL_COMPILE=1` lays the code out by the counts. pyproject.toml says everything else.
"""

import os
import sys
from pathlib import Path

from setuptools import setup

GATEWAY = (
    *("authentication", "completions", "engine_payloads", "engine_prompt", "metrics", "refusals", "request_limits"),
    *("request_parsing", "routing", "subjects", "worker", "worker_state"),
    *("http/coroutines", "http/exchange", "http/openai_errors", "http/request_head", "http/server"),
    *("upstream/attempt", "upstream/call", "upstream/choice_content", "upstream/circuit_breaker", "upstream/client"),
    *("upstream/destinations", "upstream/event_patterns", "upstream/load_balancer", "upstream/model_name"),
    *("upstream/sse", "upstream/status_codes", "upstream/stream_relay", "upstream/token_counts"),
    *("recording/request_record", "recording/segment_writer"),
)
"""What every request passes. Modules with msgspec's Structs stay Python: it reads annotations that mypyc leaves out."""
OTHERS = (
    "cost/limiter",
    "cost/pools",
    "cost/prices",
    "cost/token_usage",
    "inference/prompt_path",
    "inference/request_fields",
    "records/identity",
    "security/permissions",
    "security/roles",
)


def flags(profile: str, *, count: bool) -> list[str]:
    """The compiler's, beside mypyc's: without names that others could replace, calls need no table in between."""
    if count and not Path(profile).is_absolute():
        sys.exit(f"FLYBALL_PROFILE={profile}: FLYBALL_COMPILE=count needs an absolute folder there, for what it counts")
    if profile and not count and not any(Path(profile).glob("*.gcda")):
        sys.exit(f"FLYBALL_PROFILE={profile} holds no counts (*.gcda): run what FLYBALL_COMPILE=count built first")
    common = ["-fvisibility=hidden", "-fno-plt"]
    if count:
        return [*common, "-fprofile-generate", "-fprofile-update=prefer-atomic", f"-fprofile-dir={profile}"]
    if profile:
        used = ["-fprofile-partial-training", "-fprofile-correction", "-Wno-missing-profile"]
        return [*common, f"-fprofile-use={profile}", *used]
    return common


def main() -> None:
    wanted = os.environ.get("FLYBALL_COMPILE", "")
    if wanted not in ("1", "count"):
        setup()
        return
    try:
        from mypyc.build import mypycify
    except ModuleNotFoundError:
        modules = []  # pip asks what the build needs before it is there
    else:
        names = [*(f"gateway/{name}" for name in GATEWAY), *OTHERS]
        modules = mypycify(
            ["--python-version=3.11", "--ignore-missing-imports", *(f"src/flyball/{name}.py" for name in names)],
            opt_level="2",
            debug_level="0",
            group_name="flyball",
        )
        for module in modules:
            module.extra_compile_args += flags(os.environ.get("FLYBALL_PROFILE", ""), count=wanted == "count")
            module.extra_link_args += ["-fprofile-generate"] if wanted == "count" else []
    setup(ext_modules=modules, setup_requires=["mypy[mypyc]>=1.18"])


main()
