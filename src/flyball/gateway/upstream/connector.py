"""Makes one connection to a server: by the address that answers first, through its proxy. I/O: sockets, DNS.

Addresses of a name are tried as RFC 8305 (happy eyeballs) says: the families in turn, the next one as soon as one fails
or is silent for a quarter of a second. A name is looked up for each new connection, so that a changed one is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from flyball.addresses import Proxy, Target
from flyball.gateway.upstream.call import UpstreamFailure

NEXT_S: Final = 0.25
"""RFC 8305, 5: the recommended delay between attempts."""
_MAX_HEAD: Final = 16_384
Address = tuple[int, Any]
"""Family, and what connect() takes."""
Resolve = Callable[[str, int], Any]


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a name, as the system orders them; OSError when there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, place) for family, _kind, _number, _name, place in found))


def in_turn(addresses: Sequence[Address], *, last: Any = None) -> list[Address]:
    """The families in turn, beginning with that of the first; before all the address that answered last."""
    by_family: dict[int, list[Address]] = {}
    for address in addresses:
        by_family.setdefault(address[0], []).append(address)
    mixed = [one for group in itertools.zip_longest(*by_family.values()) for one in group if one is not None]
    return sorted(mixed, key=lambda address: address[1] != last) if last is not None else mixed


async def first_of(addresses: Sequence[Address], *, next_s: float = NEXT_S) -> socket.socket:
    """A socket to the address that can be reached first; the OSError of the last one when none can."""
    waiting: set[asyncio.Task[socket.socket]] = set()
    left = list(addresses)
    error: BaseException = OSError("the name has no address")
    try:
        while left or waiting:
            if left:
                waiting.add(asyncio.ensure_future(_connected(left.pop(0))))
            done, waiting = await asyncio.wait(
                waiting, timeout=next_s if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if (failed := task.exception()) is None:
                    found = task.result()
                    done.discard(task)
                    waiting |= done
                    return found
                error = failed
        raise error
    finally:
        for task in waiting:
            task.cancel()
            task.add_done_callback(_closed)


async def _connected(address: Address) -> socket.socket:
    family, place = address
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, place)
    except BaseException:
        made.close()
        raise
    return made


def _closed(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def tunnel(made: socket.socket, target: Target, proxy: Proxy) -> None:
    """Ask a proxy for a way through to the server (CONNECT); UpstreamFailure when it says no."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    place = f"{host}:{target.port}"
    allowed = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(made, f"CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n{allowed}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(made, 4096)
        head += data
        if not data or len(head) > _MAX_HEAD:
            words = f"the proxy {proxy.host}:{proxy.port} gave no answer to CONNECT"
            raise UpstreamFailure("connect", words, cause=words)
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or not status[1].startswith(b"2"):
        words = b" ".join(status[1:])[:80].decode("latin-1")
        words = f"the proxy {proxy.host}:{proxy.port} refuses {place}: {words}"
        raise UpstreamFailure("connect", words, cause=words)


class Connector:
    """Makes the connections of one server; remembers which of its addresses answered last."""

    def __init__(self, target: Target, *, lookup: Resolve = resolve) -> None:
        self.target = target
        self._lookup = lookup
        self._last: Any = None

    @property
    def host(self) -> str:
        """Whose name is looked up."""
        return self.target.proxy.host if self.target.proxy else self.target.host

    async def connect(self, factory: Callable[[], asyncio.Protocol], tls: Any) -> asyncio.Protocol:
        """A connection, its protocol made by `factory`; OSError or UpstreamFailure when there is none."""
        target, proxy, loop = self.target, self.target.proxy, asyncio.get_running_loop()
        host, port = (proxy.host, proxy.port) if proxy else (target.host, target.port)
        name = target.host if tls else None
        if proxy is None and _is_number(host):
            return (await loop.create_connection(factory, host, port, ssl=tls, server_hostname=name))[1]
        made = await first_of(in_turn(await self._lookup(host, port), last=self._last))
        try:
            self._last = made.getpeername()
            if proxy is not None and target.secure:
                await tunnel(made, target, proxy)
            return (await loop.create_connection(factory, sock=made, ssl=tls, server_hostname=name))[1]
        except BaseException:
            with contextlib.suppress(OSError):
                made.close()
            raise


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
