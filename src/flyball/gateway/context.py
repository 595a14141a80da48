"""What a gateway worker and an ingester are given: settings, keys and places, built once by wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flyball.cost.config import CostConfig
from flyball.gateway.config import GatewayConfig, RecordingConfig
from flyball.gateway.settings_reload import Source
from flyball.security.keys import ProjectKey
from flyball.storage.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayContext:
    """One worker's world. The table at `routes_path`, re-read when it changes, says what answers.

    Without a ledger there are no keys and no budgets, and records wait in the segments. `secrets` turns a reference
    such as env:NAME into the secret (an endpoint's API key); `proxy_for` names the proxy that the environment means
    for a URL. `settings` is re-read when its file changes. `keyring_file` keeps the last keyring for a start without
    the ledger; in `metrics_dir` the workers of a port leave their numbers for each other.
    """

    config: GatewayConfig
    cost: CostConfig
    project: str
    routes_path: Path
    segments_dir: Path
    project_key: ProjectKey
    ledger: Ledger | None
    secrets: Callable[[str], str] | None = None
    proxy_for: Callable[[str], str | None] | None = None
    settings: Source | None = None
    keyring_file: Path | None = None
    metrics_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestContext:
    """The ingester's world: segments in, ledger out."""

    recording: RecordingConfig
    project: str
    segments_dir: Path
    project_key: ProjectKey
    ledger: Ledger
