"""How a message is sent to each kind of channel. I/O: HTTP and SMTP, to what flyball.yaml names.

Errors are UpstreamError with what the other side said; the caller sends again, so a receiver may see a message twice,
under one id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import smtplib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import msgspec

from flyball.addresses import REFERENCES, Reach, shown
from flyball.errors import UpstreamError
from flyball.inference.http_client import ServerAccess, client_of
from flyball.monitoring.notices.config import Channel, EmailConfig, SlackConfig, WebhookConfig
from flyball.monitoring.notices.message import Message

TIMEOUT_S = 10.0
_MARKS = {"critical": ":red_circle:", "warning": ":large_yellow_circle:", "info": ":large_green_circle:"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """What sending takes: `secrets` turns a reference into the secret, `proxy_for` names the proxy for a URL."""

    secrets: Callable[[str], str]
    proxy_for: Callable[[str], str | None] | None = None

    def send(self, channel: Channel, message: Message) -> None:
        """Send a message once; UpstreamError when it was not taken."""
        try:
            if isinstance(channel, EmailConfig):
                self._mail(channel, message)
            elif isinstance(channel, SlackConfig):
                body = {"text": slack_text(message)}
                self._post(channel.url, msgspec.json.encode(body), {})
            else:
                body_bytes = msgspec.json.encode(message.document)
                self._post(channel.url, body_bytes, self._signature(channel, message.id, body_bytes))
        except (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError) as error:  # also: bad addresses
            raise UpstreamError(
                f"the notice to {channel.name} was not sent: {error or type(error).__name__}",
                cure="check it with `flyball monitoring notices`",
            ) from error

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        url = self._value(url)
        way = ServerAccess(reach=Reach(headers=tuple(headers.items())), proxy_for=self.proxy_for)
        client = client_of(url, way, exact=True, timeout_s=TIMEOUT_S)
        try:
            status, answer = client.post("", body)
        finally:
            client.close()
        if not 200 <= status < 300:
            said = answer[:200].decode("utf-8", "replace").strip()
            raise UpstreamError(f"{shown(url)} answered {status}: {said}", cure="check its address and its secret")

    def _signature(self, channel: WebhookConfig, id: str, body: bytes) -> dict[str, str]:
        """The headers of Standard Webhooks 1.0: HMAC-SHA256 over id, time and body."""
        at = str(int(time.time()))
        headers = {"webhook-id": id, "webhook-timestamp": at}
        if channel.secret is not None:
            key = signing_key(self._value(channel.secret))
            digest = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
            headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
        return headers

    def _mail(self, channel: EmailConfig, message: Message) -> None:
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = message.subject, channel.sender, ", ".join(channel.to)
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(idstring=message.id, domain="flyball.invalid")
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's out-of-office answers
        mail.set_content(message.text)
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if channel.tls == "tls":
            server = smtplib.SMTP_SSL(channel.host, channel.port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(channel.host, channel.port, timeout=TIMEOUT_S)
        with server:
            if channel.tls == "starttls":
                server.starttls(context=context)
            if channel.user is not None:
                server.login(channel.user, self._value(channel.password or ""))
            server.send_message(mail)

    def _value(self, text: str) -> str:
        return self.secrets(text) if text.startswith(REFERENCES) else text


def signing_key(secret: str) -> bytes:
    """The key of a webhook's secret: base64 after `whsec_`, as Standard Webhooks writes it, else its own bytes.

    ValueError for what is no base64: a key of fewer bytes than was meant would sign without a word.
    """
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def slack_text(message: Message) -> str:
    """A message in Slack's own markup."""
    parts = [f"*{_escaped(message.subject)}*"]
    for event, url in message.lines:
        parts.append(f"{_MARKS[event.severity]} <{url}|{_escaped(event.title)}>\n{_escaped(event.text)}")
    if message.unshown:
        parts.append(f"and {message.unshown} more: `flyball watch`")
    return "\n".join(parts)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
