"""An engine that resets a connection the moment it is made, as a dying one does to what waits in its backlog."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
import uvloop

from flyball.gateway.upstream.call import Call, UpstreamFailure
from flyball.gateway.upstream.client import EndpointClient
from flyball.storage.routing import Endpoint

TRIES = 400
"""Where nothing catches it, one in seven meets a transport that is closed before its request is written."""
AT_ONCE = struct.pack("ii", 1, 0)  # linger for no time: close is a reset


@pytest.fixture
def resetting() -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reset_all() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                connection.close()

        thread = threading.Thread(target=reset_all, daemon=True)
        thread.start()
        yield Endpoint(id="dying", url=f"http://127.0.0.1:{server.getsockname()[1]}", slots=4)
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_a_connection_that_dies_at_birth_is_a_failure_of_the_engine_and_no_bug(resetting: Endpoint) -> None:
    async def ask() -> Counter[str]:
        client, kinds = EndpointClient(resetting, connect_timeout_s=5.0), Counter[str]()
        for _ in range(TRIES):
            try:
                call = await client.send(b"/v1/chat/completions", b"{}")
                await asyncio.wait_for(ended(call), 5.0)
                assert call.failure is not None
                kinds[call.failure.kind] += 1
            except UpstreamFailure as failure:
                kinds[failure.kind] += 1
        assert not client.calls
        return kinds

    kinds = uvloop.run(ask())
    assert set(kinds) <= {"connect", "dropped"} and sum(kinds.values()) == TRIES
    assert kinds["connect"] > 0


async def ended(call: Call) -> None:
    """Wait for the end of a call from a task."""
    if not call.awake:
        told = asyncio.get_running_loop().create_future()
        call.add_done_callback(lambda _call: told.set_result(None))
        await told
