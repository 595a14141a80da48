"""Sends the traces of requests that the ledger took in, and keeps how far it came. I/O: the ledger, HTTP.

The place moves once a batch was taken: nothing is left out, and after a crash between the two the same ids are sent
again. OTLP's JSON needs no library of ours; protobuf would be two packages for the same spans.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import and_, func, select, update

from flyball import __version__
from flyball.addresses import Reach, shown
from flyball.errors import UpstreamError
from flyball.inference.http_client import ProxyOf, Secrets, ServerAccess, ServerClient, client_of
from flyball.monitoring.traces.config import TracesConfig
from flyball.monitoring.traces.spans import Answerer, Span, export_request, is_sampled, spans_of
from flyball.records import RequestRecord
from flyball.storage import tables
from flyball.storage.ledger import Ledger, insert_new
from flyball.storage.payload_texts import payload_document
from flyball.storage.traffic import redacted_of, requests_since
from flyball.telemetry import log

NAME = "traces"
BATCH = 500
BATCH_BYTES = 2 * 1024 * 1024
"""A batch ends behind the requests that go over it; receivers commonly take 4 to 20 MiB."""
TEXTS = 25
"""So many requests' texts are in memory at once."""
BATCHES = 20
"""At most so many at one look: a long backlog is sent over several."""
TIMEOUT_S = 10.0
_MALFORMED = 400
"""OTLP: what a receiver calls malformed must not be sent again. Any other failure may end: MLflow says 422 without its
header."""
Trace = list[msgspec.Raw]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """The traces of a project; `answerer` says what answers for a release."""

    ledger: Ledger
    config: TracesConfig
    url: str
    answerer: Callable[[str], Answerer | None]
    secrets: Secrets
    proxy_for: ProxyOf | None = None

    def send_due(self) -> int:
        """Send what is new; how many traces were taken. UpstreamError, and the same again later, when it failed."""
        sent = 0
        client: ServerClient | None = None
        try:
            for _ in range(BATCHES):
                place = self._place()
                traces, through = self._batch(place)
                if through == place:
                    break
                if traces:
                    client = client or self._client()
                    self._deliver(client, traces)
                self._move(place, through)
                sent += len(traces)
        finally:
            if client is not None:
                client.close()
        return sent

    def _batch(self, place: int) -> tuple[list[Trace], int]:
        """The next traces, and the place behind them."""
        traces: list[Trace] = []
        size = 0
        found = requests_since(self.ledger, after_seq=place, limit=BATCH)
        for begin in range(0, len(found), TEXTS):
            group = found[begin : begin + TEXTS]
            wanted = [seen.record for seen in group if is_sampled(seen.record.id, self.config.sample)]
            for spans in self._spans(wanted):
                trace = [msgspec.Raw(msgspec.json.encode(span)) for span in spans]
                traces.append(trace)
                size += sum(len(bytes(span)) for span in trace)
            place = group[-1].seq
            if size >= BATCH_BYTES:
                break
        return traces, place

    def _spans(self, records: Sequence[RequestRecord]) -> Iterator[list[Span]]:
        texts = redacted_of(self.ledger, [one.id for one in records]) if self.config.content and records else {}
        for record in records:
            document = payload_document(texts.pop(record.id, None))
            yield spans_of(record, self.answerer(record.answered_by or record.release), document)

    def _client(self) -> ServerClient:
        headers = tuple((name.lower(), value) for name, value in self.config.headers.items())
        way = ServerAccess(reach=Reach(headers=headers), secrets=self.secrets, proxy_for=self.proxy_for)
        return client_of(self.url, way, exact=True, timeout_s=TIMEOUT_S)

    def _deliver(self, client: ServerClient, traces: list[Trace]) -> None:
        """Have a batch taken, in halves where it is too large; what can never be taken is logged and left out."""
        body = export_request(self.ledger.project, __version__, [span for trace in traces for span in trace])
        try:
            status, answer = client.post("", body)
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamError(
                f"traces were not sent to {shown(self.url)}: {error or type(error).__name__}",
                cure="check traces.url; they are sent once it answers",
            ) from error
        if 200 <= status < 300:
            _tell_of_rejected(answer)
            return
        said = f"{shown(self.url)} answered {status}: {answer[:200].decode('utf-8', 'replace').strip()}"
        if status == 413 and len(traces) > 1:
            middle = len(traces) // 2
            self._deliver(client, traces[:middle])
            self._deliver(client, traces[middle:])
        elif status in (_MALFORMED, 413):
            log.error("%d traces were refused for good: %s", len(traces), said)
        else:
            raise UpstreamError(
                said,
                cure="it takes no OTLP in JSON: put an OpenTelemetry Collector before it"
                if status == 415
                else "check traces.url and traces.headers; they are sent once it takes them",
            )

    def _place(self) -> int:
        """The last request that was sent; at the first look the newest, for what was before was promised to nobody."""
        column, request = tables.monitors.c, tables.requests.c
        query = select(column.through_seq).where(column.project == self.ledger.project, column.name == NAME)
        with self.ledger.read() as connection:
            kept = connection.execute(query).scalar_one_or_none()
            if kept is not None:
                return int(kept)
            newest = select(func.max(request.seq)).where(request.project == self.ledger.project)
            place = int(connection.execute(newest).scalar() or 0)
        with self.ledger.begin() as connection:
            row = {"project": self.ledger.project, "name": NAME, "through_seq": place, "state": "{}"}
            insert_new(connection, tables.monitors, row)
        return place

    def _move(self, place: int, through: int) -> None:
        column = tables.monitors.c
        same = and_(column.project == self.ledger.project, column.name == NAME, column.through_seq == place)
        with self.ledger.begin() as connection:
            connection.execute(update(tables.monitors).where(same).values(through_seq=through))


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_spans: int | str = 0
    error_message: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


def _tell_of_rejected(answer: bytes) -> None:
    """Log what a receiver left out of a batch that it took: OTLP forbids to send that again."""
    try:
        partial = msgspec.json.decode(answer, type=_Answer).partial_success
    except msgspec.MsgspecError:
        return  # an empty answer, or one in another form, is a success too
    if partial is not None and (str(partial.rejected_spans) != "0" or partial.error_message):
        log.warning("the receiver of traces rejected %s spans: %s", partial.rejected_spans, partial.error_message)
