"""Compiles the gateway's way of a request with mypyc where FLYBALL_COMPILE=1 is set; else all stays Python.

The same source, up to a third less CPU: `make compiled` builds it beside the checkout, and so does
`FLYBALL_COMPILE=1 pip install .` where a C compiler is. pyproject.toml says everything else.
"""

import os

from setuptools import setup

GATEWAY = (
    *("access", "answering", "asking", "balancing", "calls", "course", "describing", "edge", "envelope", "exchange"),
    *("limits", "metrics", "recording", "relaying", "routing", "server", "state", "streams", "upstream"),
)
"""What every request passes. Modules with msgspec's Structs stay Python: it reads annotations that mypyc leaves out."""
OTHERS = ("cost/keeping", "cost/pools", "cost/prices", "inference/prompt_path", "records/identity")


def main() -> None:
    if os.environ.get("FLYBALL_COMPILE") != "1":
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
    setup(ext_modules=modules, setup_requires=["mypy[mypyc]>=1.18"])


main()
