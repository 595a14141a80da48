"""A gateway of well-kept parts that does nothing else: uvicorn (uvloop, httptools) in front, httpx behind.

    python bench/gateway_asgi.py PORT UPSTREAM_PORT

No key, no limit, no record, no failure handled: bench/gateway.py measures it beside Flyball, whose HTTP edge and
upstream client are its own for this reason. I/O: loopback sockets.
"""

from __future__ import annotations

import sys
from typing import Any

import httpx
import uvicorn

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None)
CLIENT = httpx.AsyncClient(base_url=f"http://127.0.0.1:{sys.argv[2]}", limits=LIMITS, timeout=60, trust_env=False)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Pass one request on, and its answer back piece by piece."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    head = {"content-type": "application/json"}
    async with CLIENT.stream("POST", scope["path"], content=b"".join(parts), headers=head) as answer:
        kept = [pair for pair in answer.headers.raw if pair[0].lower() in (b"content-type", b"content-length")]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
        async for piece in answer.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    port = int(sys.argv[1])
    uvicorn.run(app, port=port, lifespan="off", access_log=False, log_level="error", loop="uvloop", http="httptools")
