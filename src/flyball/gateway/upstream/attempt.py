"""One attempt at an endpoint, up to the head of its answer. I/O: sockets.

What is no failure of the endpoint costs no attempt: a pooled connection that it had closed, a key that was rotated
meanwhile, and a field that the gateway added and the server does not know (dialects.py).
"""

from __future__ import annotations

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.request_parsing import PATHS, ParsedRequest, uncounted
from flyball.gateway.routing import ArmView
from flyball.gateway.upstream.call import Call
from flyball.gateway.upstream.client import EndpointClient
from flyball.gateway.upstream.dialects import may_mean_usage, names_usage, refusal_in


async def head_of(
    exchange: Exchange,
    ask: ParsedRequest,
    arm: ArmView,
    client: EndpointClient,
    payload: bytes,
    *,
    first_s: float,
    until: float,
) -> Call:
    """A call with a whole plain answer, the first event of a stream, or a stream that thinks aloud.

    `first_s`: the longest silence before a first event. UpstreamFailure when none comes.
    """
    model = arm.arm.model or ask.view.route.name
    more = client.destination.forwarded(exchange.headers)
    if ask.stream and model in client.uncounted:
        payload = uncounted(ask, arm, payload)
    call = await _sent(ask, client, payload, more, first_s, until)
    if call.status == 401 and client.renewed():
        call = await _sent(ask, client, payload, more, first_s, until)
    if not ask.stream or ask.wants_usage or model in client.uncounted:
        return call
    said = call.body if call.status >= 400 else refusal_in(call.events)
    if said is None or not may_mean_usage(call.status, said):
        return call
    call.cancel()
    again = await _sent(ask, client, uncounted(ask, arm, payload), more, first_s, until)
    if names_usage(said) or again.status == 200:
        client.uncounted.add(model)
    return again


async def _sent(
    ask: ParsedRequest, client: EndpointClient, payload: bytes, more: bytes, first_s: float, until: float
) -> Call:
    for fresh in (False, True):
        call = await client.send(PATHS[ask.kind], payload, more=more, fresh=fresh)
        try:
            if ask.stream:
                call.listen(first_s, until)
            else:
                call.limit("total", until)
            await call
            if call.failure is None:
                return call
            if fresh or not call.failure.stale:
                raise call.take_failure()
        except BaseException:
            call.cancel()
            raise
    raise AssertionError("unreachable")
