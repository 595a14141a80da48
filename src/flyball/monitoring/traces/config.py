"""Settings of traces."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from flyball.addresses import ReachConfig, checked, reach_of, shown
from flyball.errors import InputError


class TracesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one trace for each request is sent over OTLP/HTTP; nowhere, unless a URL is named."""

    url: (
        Annotated[
            str, Meta(description="The whole URL, such as http://127.0.0.1:4318/v1/traces; null: nothing is sent.")
        ]
        | None
    ) = None
    headers: Annotated[
        dict[str, str], Meta(description="Sent with each batch; a value may be env:NAME or file:PATH.")
    ] = msgspec.field(default_factory=dict)
    sample: Annotated[
        float, Meta(ge=0, le=1, description="Share of the requests that are sent, chosen by a hash of the trace id.")
    ] = 1.0
    content: Annotated[bool, Meta(description="Whether the redacted texts of request and answer are sent as well.")] = (
        False
    )
    every_s: Annotated[float, Meta(gt=0, description="Seconds between two looks for new requests.")] = 5.0

    def __post_init__(self) -> None:
        try:
            reach_of(ReachConfig(headers=self.headers), source="headers")
            if self.url is not None and not checked(self.url).path.strip("/"):
                raise ValueError(f"{shown(self.url)} has no path; most back ends want /v1/traces behind the port")
        except InputError as error:
            raise ValueError(f"{error.message}; {error.cure}") from None
