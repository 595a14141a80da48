"""Other clients read through the gateway what they read directly. `make test-clients` installs and runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from running_gateway import RunningGateway, in_front_of
from upstream_behaviours import BEHAVIOURS, Behaviour, OddEngine

PEERS = Path(__file__).parents[2] / ".peers"
NODE, PYTHON = PEERS / "sdks-node", PEERS / "sdks-python"
HERE = Path(__file__).parents[1] / "support" / "sdks"
SDKS = {"openai": "node", "ai": "node", "langchain": "python", "litellm": "python"}
CASES = [case for case in BEHAVIOURS if case.api == "chat" and case.same and case.request is None]
IDS = re.compile(r'"(call_|chatcmpl-|lc_run--|run--|gen-|aitxt-|chatcmpl-tool-)[\w-]+"')
"""Names that a client makes up itself."""


class Sdk:
    """One SDK in a process of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        where, command = {
            "node": (NODE / "node_modules", ["node", str(HERE / "ask.mjs"), str(NODE)]),
            "python": (PYTHON / "bin/python", [str(PYTHON / "bin/python"), str(HERE / "ask.py")]),
        }[SDKS[name]]
        if not where.exists():
            pytest.skip(f"{name} is not installed: run `make test-clients`")
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGCHAIN_TRACING_V2": "false", "LITELLM_LOG": "ERROR"}
        environment = {**os.environ, **quiet}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)

    def read(self, url: str, case: Behaviour) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"sdk": self.name, "url": url, "stream": case.kind == "stream"}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("read "):
                return json.loads(IDS.sub('"id"', line.removeprefix("read ")))
        raise AssertionError(f"{self.name} has ended")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def engine() -> Iterator[OddEngine]:
    with OddEngine() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(engine: OddEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path_factory.mktemp("gateway"), in_front_of(engine)) as running:
        yield running


@pytest.fixture(scope="module")
def sdk(request: pytest.FixtureRequest) -> Iterator[Sdk]:
    made = Sdk(request.param)
    yield made
    made.close()


def unread(found: dict[str, Any]) -> bool:
    """Whether a client could make nothing of an answer: then it may read more through the gateway, and not less."""
    return found.get("read") is None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("sdk", SDKS, indirect=True)
def test_a_client_reads_the_same_as_directly(sdk: Sdk, engine: OddEngine, gateway: RunningGateway) -> None:
    different = []
    for case in CASES:
        engine.odd = case
        direct, through = sdk.read(f"{engine.url}/v1", case), sdk.read(gateway.url, case)
        if direct != through and not (unread(direct) and (unread(through) or "read" in through)):
            different.append((str(case), direct, through))
    assert not different, "\n".join(f"{name}: directly {a}; through the gateway {b}" for name, a, b in different)
    assert len(CASES) > 50
