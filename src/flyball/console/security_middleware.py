"""What stands before every page: only loopback hosts, no posts but our own, headers that forbid everything not ours."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POSTED = "/playground"
"""The one page that takes a form."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine; any port, so that a forwarded one works.

    A page elsewhere whose name is made to resolve to 127.0.0.1 (DNS rebinding) still sends its own name here.
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() in LOOPBACK


def is_same_origin(headers: Headers, host: str) -> bool:
    """Whether a browser says that a page of this host sent the form; browsers name the origin of every post."""
    origins = headers.getlist("origin")
    if len(origins) != 1 or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = urlsplit(origins[0])
    return origin.scheme in ("http", "https") and origin.netloc.lower() == host.lower()


class SecurityMiddleware:
    """ASGI middleware: 421 for a foreign host, 405 for what is not reading, our headers on every answer.

    The one form is taken from a page of this very host alone (403).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["path"] == POSTED:  # with no-referrer a browser's own form says Origin: null
                    headers["referrer-policy"] = "same-origin"
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = _refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)


def _refusal(scope: Scope) -> PlainTextResponse | None:
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not is_loopback(hosts[0]):
        text = "this console answers only as 127.0.0.1 or localhost; forward a port to reach it from elsewhere\n"
        return PlainTextResponse(text, status_code=421)
    if scope["method"] == "POST" and scope["path"] == POSTED:
        if is_same_origin(headers, hosts[0]):
            return None
        return PlainTextResponse("a form of another site is not taken\n", status_code=403)
    if scope["method"] not in ("GET", "HEAD"):
        return PlainTextResponse("this console only reads\n", status_code=405, headers={"allow": "GET, HEAD"})
    return None
