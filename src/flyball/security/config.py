"""Settings of keys."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class SecurityConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the project key is: it names people by keyed hash and wraps the keys that seal payloads."""

    project_key: Annotated[
        str, Meta(description="A reference: env:NAME, or file:PATH of a file with mode 0600, relative to the project.")
    ] = "file:.flyball/keys/project.key"
    signers: Annotated[
        tuple[str, ...],
        Meta(
            description="Public keys (PEM files, relative to the project): one of them must have signed each model "
            "before control starts an engine on it; empty: no signature is asked for."
        ),
    ] = ()
