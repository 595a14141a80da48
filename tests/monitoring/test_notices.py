"""Notices to real servers on loopback: what is told, to whom, once and in order, and what a failure leaves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from flyball.errors import UpstreamError
from flyball.monitoring.notices import outbox as outboxes
from flyball.monitoring.notices.channels import Senders, signing_key
from flyball.monitoring.notices.config import EmailConfig, NoticesConfig, QuietHours, SlackConfig, WebhookConfig
from flyball.monitoring.notices.events import Event
from flyball.monitoring.notices.message import SHOWN, Message
from flyball.monitoring.notices.outbox import Outbox, quiet_at
from flyball.records import Finding, Transition
from flyball.records.identity import uuid7
from flyball.storage.deployments import add_transition
from flyball.storage.ledger import Ledger
from post_receiver import post_receiver
from record_samples import deployment_record

SECRETS = {"env:SLACK": "", "env:HOOK": "whsec_" + base64.b64encode(b"k" * 24).decode(), "env:PASSWORD": "pass"}
NOON, NIGHT = datetime(2026, 11, 30, 12, tzinfo=UTC), datetime(2026, 11, 30, 23, 30, tzinfo=UTC)


@dataclass
class Receiver:
    """A server that keeps what it is sent, and answers with `status`."""

    url: str = ""
    status: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def documents(self) -> list[Any]:
        return [json.loads(body) for _, body in self.taken]

    @property
    def titles(self) -> list[list[str]]:
        return [[event["title"] for event in one["data"]["events"]] for one in self.documents]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    def answer(_path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if kept.status == 200:
            kept.taken.append((dict(headers), body))
        return kept.status, b"said"

    with post_receiver(answer) as url:
        kept.url = f"{url}/hook"
        yield kept


@dataclass
class Mailbox:
    """What an SMTP server takes in."""

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        box = Mailbox(port=probe.getsockname()[1])
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    yield box
    controller.stop()


def senders() -> Senders:
    return Senders(secrets=SECRETS.__getitem__)


def outbox(ledger: Ledger, *channels: Any, quiet: QuietHours | None = None) -> Outbox:
    config = NoticesConfig(to=channels, quiet=quiet)
    return Outbox(ledger=ledger, config=config, console="http://console/", send=senders().send)


def hook(receiver: Receiver, **more: Any) -> WebhookConfig:
    return WebhookConfig(name=more.pop("name", "tickets"), url=receiver.url, **more)


def find(ledger: Ledger, severity: str = "warning", measure: str = "topics") -> Finding:
    finding = Finding(
        id=uuid7(),
        project=ledger.project,
        kind="drift",
        severity=severity,  # type: ignore[arg-type]
        route="shop",
        release="a" * 64,
        measure=measure,
        value=0.2,
        reference=0.1,
        evidence={},
        first_seq=1,
        last_seq=2,
        examples=(),
        explanation="20 of the last 100 requests <were> new.",
    )
    ledger.append(finding)
    return finding


def test_a_channel_is_told_of_what_comes_after_its_first_look(ledger: Ledger, receiver: Receiver) -> None:
    find(ledger, measure="old")
    box = outbox(ledger, hook(receiver))
    assert box.send_due(NOON) == 0
    first = find(ledger)
    find(ledger, "critical", "quality")
    find(ledger, "info", "unimportant")
    deployment = deployment_record(project=ledger.project, route="shop")
    ledger.append(deployment)
    with ledger.begin() as connection:
        for state in ("ramping", "rolled_back"):
            step = Transition(deployment=deployment.id, state=state, step=0, evidence={"reason": "errors"})
            add_transition(connection, ledger.project, step, epoch=1)
    assert box.send_due(NOON) == 1
    assert outbox(ledger, hook(receiver)).send_due(NOON) == 0  # another process, later
    (document,) = receiver.documents
    assert receiver.titles == [["drift: quality on shop", "deployment on shop is rolled back", "drift: topics on shop"]]
    assert document["data"]["subject"] == "[shop] critical: drift: quality on shop and 2 more"
    told = document["data"]["events"][2]
    assert (told["id"], told["url"]) == (first.id, f"http://console/records/{first.id}")
    assert "errors" in document["data"]["events"][1]["text"]


def test_a_webhook_is_signed_as_standard_webhooks_asks(ledger: Ledger, receiver: Receiver) -> None:
    box = outbox(ledger, hook(receiver, secret="env:HOOK"))
    box.send_due(NOON)
    find(ledger)
    box.send_due(NOON)
    headers, body = receiver.taken[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(b"k" * 24, signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert signing_key("plain") == b"plain"


def test_what_is_down_is_told_later_and_holds_up_nobody(ledger: Ledger, receiver: Receiver) -> None:
    dead = WebhookConfig(name="dead", url="http://127.0.0.1:9/hook")
    wrong = WebhookConfig(name="wrong", url="http://user:pass@127.0.0.1/")
    box = outbox(ledger, dead, wrong, hook(receiver), hook(receiver, name="second"))
    box.send_due(NOON)
    find(ledger)
    receiver.status = 503
    assert box.send_due(NOON) == 0
    receiver.status = 200
    assert box.send_due(NOON) == 2
    ids = [headers["webhook-id"] for headers, _ in receiver.taken]
    assert len(ids) == 2 and len(set(ids)) == 1  # the same events have the same id
    find(ledger, measure="later")
    assert box.send_due(NOON) == 2
    assert receiver.titles[2] == ["drift: later on shop"]


def test_quiet_hours_let_the_critical_through_and_the_rest_comes_afterwards(ledger: Ledger, receiver: Receiver) -> None:
    quiet = QuietHours(begin="23:00", end="08:00", timezone="Europe/Zurich")
    box = outbox(ledger, hook(receiver), quiet=quiet)
    box.send_due(NOON)
    find(ledger, measure="minor")
    find(ledger, "critical", "urgent")
    assert box.send_due(NIGHT) == 1
    find(ledger, measure="minor too")
    assert box.send_due(NIGHT) == 0
    assert box.send_due(NOON) == 1
    assert receiver.titles == [["drift: urgent on shop"], ["drift: minor on shop", "drift: minor too on shop"]]
    assert box.send_due(NOON) == 0
    assert quiet_at(quiet, NIGHT) and not quiet_at(quiet, NOON)
    day = QuietHours(begin="11:00", end="13:00")
    assert quiet_at(day, NOON) and not quiet_at(day, NIGHT)


def test_mail_goes_to_every_address(ledger: Ledger, mailbox: Mailbox) -> None:
    to = ("a@example.com", "b@example.com")
    channel = EmailConfig(
        name="on-call", host="127.0.0.1", port=mailbox.port, tls="none", sender="flyball@example.com", to=to
    )
    box = outbox(ledger, channel)
    box.send_due(NOON)
    find(ledger, "critical", "quälity\nBcc: evil@example.com")
    assert box.send_due(NOON) == 1
    (envelope,) = mailbox.envelopes
    assert tuple(envelope.rcpt_tos) == to
    mail = message_from_bytes(envelope.content or b"", policy=policy.default)
    assert mail["Subject"].startswith("[shop] critical: drift: quälity") and mail["Bcc"] is None
    assert "20 of the last 100 requests" in mail.get_content() and "http://console/records/" in mail.get_content()


def test_slack_gets_its_own_markup(ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECRETS, "env:SLACK", receiver.url)
    box = outbox(ledger, SlackConfig(name="team", url="env:SLACK"))
    box.send_due(NOON)
    find(ledger)
    box.send_due(NOON)
    (document,) = receiver.documents
    assert "&lt;were&gt;" in document["text"] and "|drift: topics on shop>" in document["text"]


def test_an_error_names_no_secret(receiver: Receiver) -> None:
    receiver.status = 403
    event = Event(id="1", at_ms=0, severity="info", title="t", text="x", route="", path="/")
    message = Message(project="shop", console="", events=(event,))
    channel = WebhookConfig(name="w", url=receiver.url + "?token=hunter2")
    with pytest.raises(UpstreamError) as refused:
        senders().send(channel, message)
    assert "403" in str(refused.value) and "hunter2" not in str(refused.value)


def test_many_events_are_one_message_of_bounded_length() -> None:
    events = tuple(
        Event(id=str(number), at_ms=number, severity="info", title="t", text="x", route="", path="/")
        for number in range(SHOWN + 5)
    )
    message = Message(project="shop", console="", events=events)
    assert len(message.document["data"]["events"]) == SHOWN and message.unshown == 5  # type: ignore[index,call-overload,arg-type]
    assert "and 5 more" in message.text


def test_settings_refuse_two_channels_of_one_name_and_unknown_time_zones() -> None:
    channel = {"kind": "webhook", "name": "a", "url": "http://x"}
    with pytest.raises(msgspec.ValidationError, match="two channels are called 'a'"):
        msgspec.convert({"to": [channel, channel]}, NoticesConfig)
    with pytest.raises(msgspec.ValidationError, match="no time zone"):
        msgspec.convert({"begin": "22:00", "end": "07:00", "timezone": "Mars/Olympus"}, QuietHours)


def test_a_channel_that_answers_for_ever_holds_up_no_other(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "PATIENCE_S", 0.5)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def stream() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not over.wait(0.05):
                    connection.sendall(b".")

        thread = threading.Thread(target=stream)
        thread.start()
        endless = WebhookConfig(name="endless", url=f"http://127.0.0.1:{listening.getsockname()[1]}/hook")
        box = outbox(ledger, endless, hook(receiver))
        box.send_due(NOON)
        for measure in ("first", "second"):
            find(ledger, measure=measure)
            assert box.send_due(NOON) == 1
        over.set()
        thread.join()
    assert receiver.titles == [["drift: first on shop"], ["drift: second on shop"]]


def test_many_minor_findings_hide_no_critical_one_in_quiet_hours(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flyball.monitoring.notices.events.BATCH", 3)
    monkeypatch.setattr(outboxes, "MOST", 4)
    box = outbox(ledger, hook(receiver), quiet=QuietHours(begin="23:00", end="07:00"))
    box.send_due(NOON)
    for _ in range(10):
        find(ledger)
    find(ledger, "critical", "urgent")
    assert [box.send_due(NIGHT) for _ in range(4)].count(1) == 1
    assert receiver.titles == [["drift: urgent on shop"]]
    told = [box.send_due(NOON) for _ in range(4)]
    assert sum(told) >= 2 and told[-1] == 0
    assert [title for one in receiver.titles for title in one].count("drift: urgent on shop") == 1
    assert sum(map(len, receiver.titles)) == 11


def test_an_address_that_no_mail_can_carry_is_an_error_of_that_channel(receiver: Receiver, mailbox: Mailbox) -> None:
    event = Event(id="1", at_ms=0, severity="info", title="t", text="x", route="", path="/")
    message = Message(project="shop", console="", events=(event,))
    mail = EmailConfig(
        name="m", host="127.0.0.1", port=mailbox.port, tls="none", sender="a\nb@example.com", to=("c@d",)
    )
    for channel in (mail, hook(receiver, secret="whsec_&&&")):
        with pytest.raises(UpstreamError, match="was not sent"):
            senders().send(channel, message)
