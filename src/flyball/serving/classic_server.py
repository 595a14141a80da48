"""The process before a classic model server: chat completions in, that server's own protocol out. I/O: sockets.

Run as `python -m flyball.serving.classic_server SETTINGS PORT SLOTS`, with the kind and its settings as JSON. How the
server is reached stands in the environment (engine_access.py), so that no list of processes shows it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec

from flyball.engines.catalog import kind_named
from flyball.engines.classic import ClassicKind
from flyball.errors import FlyballError, UpstreamError
from flyball.inference.http_client import ServerAccess
from flyball.serving.classic_client import LOOK_S, ClassicClient
from flyball.serving.engine_access import given_way
from flyball.serving.label_server import LabelServer, serve

_START_S = 30.0
"""So long a server may be away, or not have the model, before this process gives up; then it is started again."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_FAILED_LOOKS = 3


class Standing:
    """Whether the model can be asked: not before it has labelled a text, and not after looks have failed in a row."""

    def __init__(self, client: ClassicClient) -> None:
        self._client = client
        self._problem = "it has not been asked yet"
        self._failed = 0

    def unready(self) -> str:
        """Why it cannot be asked yet."""
        return self._problem

    def gone(self) -> str:
        """Why it cannot be asked any more. One look that fails is no sign: the server may be busy."""
        problem = self._client.unready(timeout_s=LOOK_S)
        if not problem and self._client.failing:  # a server may call a model ready whose process has died
            try:
                self._client.require_label(timeout_s=LOOK_S)
            except UpstreamError as error:
                problem = error.message
        self._failed = self._failed + 1 if problem else 0
        return problem if self._failed >= _FAILED_LOOKS else ""

    def come_up(self) -> None:
        """Bring the model in and wait until it labels a text; ends this process with the reason where it never does."""
        deadline, pause, broken = time.monotonic() + _START_S, _FIRST_PAUSE_S, False
        while True:
            try:
                self._client.bring_in(again=broken)
                if not (problem := self._client.unready()):
                    self._client.require_label()
                    self._problem = ""
                    return
            except UpstreamError as error:
                problem = f"{error.message}; {error.cure}"
                broken = (error.status or 0) >= 500  # ready by its word, but broken: loading it again may cure that
            if problem != self._problem:
                print(f"not ready: {problem}", flush=True)
                self._problem = problem
            if time.monotonic() > deadline:
                os._exit(1)  # the log has the reason
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)  # loading a model again and again costs its server


def client_for(told: bytes, way: ServerAccess) -> ClassicClient:
    """The client of a kind with its settings as JSON; InputError for a kind that is no classic server's."""
    document: dict[str, Any] = msgspec.json.decode(told)
    kind = cast(ClassicKind, kind_named(str(document.pop("kind"))))
    settings = kind.settings(document)
    return ClassicClient(kind, settings, way)


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM; 1 with the reason where the model cannot be brought in."""
    told, port, slots = arguments
    try:
        client = client_for(told.encode(), given_way())
    except (FlyballError, msgspec.MsgspecError) as error:
        print(str(error), flush=True)
        return 1
    standing = Standing(client)
    threading.Thread(target=standing.come_up, daemon=True).start()
    server = LabelServer(
        client.label,
        name="classic",
        model=client.settings.model,
        pool=ThreadPoolExecutor(int(slots), thread_name_prefix="ask"),
        unready=standing.unready,
        gone=standing.gone,
    )
    serve(server, port=int(port))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
