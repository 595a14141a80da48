"""Settings of notices."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

Severity = Literal["info", "warning", "critical"]
_REFERENCE = "A reference: env:NAME, or file:PATH of a file with mode 0600"
_NAME = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", description="Its name, such as on-call.")]
_LEAST = Annotated[Severity, Meta(description="The least urgent that is sent there.")]


class WebhookConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="webhook"
):
    """JSON to any URL, signed as Standard Webhooks asks."""

    name: _NAME
    url: Annotated[str, Meta(description="Its URL, or a reference to it.")]
    secret: Annotated[str, Meta(description=f"{_REFERENCE}; null: not signed.")] | None = None
    least: _LEAST = "warning"


class SlackConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="slack"):
    """A channel of Slack, or of what takes Slack's incoming webhooks (Mattermost, Rocket.Chat)."""

    name: _NAME
    url: Annotated[str, Meta(description=f"The incoming webhook: it is a secret. {_REFERENCE}.")]
    least: _LEAST = "warning"


class EmailConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="email"):
    """Mail through an SMTP server."""

    name: _NAME
    host: Annotated[str, Meta(description="The SMTP server.")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Its port.")] = 587
    tls: Annotated[Literal["starttls", "tls", "none"], Meta(description="none: only for a server on this machine.")] = (
        "starttls"
    )
    user: Annotated[str, Meta(description="Who signs in; null: nobody does.")] | None = None
    password: Annotated[str, Meta(description=f"{_REFERENCE}.")] | None = None
    sender: Annotated[str, Meta(description="The address that it is from.")]
    to: Annotated[tuple[str, ...], Meta(min_length=1, description="The addresses that it goes to.")]
    least: _LEAST = "warning"


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours in which only what is critical is sent; the rest comes together afterwards."""

    begin: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="Such as 22:00.")]
    end: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="Such as 07:00.")]
    timezone: Annotated[str, Meta(description="A name of the IANA data base, such as Europe/Zurich.")] = "UTC"

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{self.timezone!r} is no time zone of the IANA data base") from None


Channel = WebhookConfig | SlackConfig | EmailConfig


class NoticesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told of findings, proposals and deployments that stopped; nobody, unless channels are named."""

    to: Annotated[tuple[Channel, ...], Meta(description="Channels: kind webhook, slack or email.")] = ()
    every_s: Annotated[
        float, Meta(gt=0, description="Seconds between two notices of a channel: what happens between comes together.")
    ] = 30.0
    quiet: Annotated[QuietHours | None, Meta(description="Hours in which only what is critical is sent.")] = None
    console: (
        Annotated[str, Meta(description="URL of the console that notices link to; null: that of flyball.yaml.")] | None
    ) = None

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.to]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two channels are called {min(twice)!r}")
