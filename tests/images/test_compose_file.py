"""compose.yaml lets nothing listen beyond loopback, and holds no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
LISTENS = {
    "postgres": "listen_addresses=127.0.0.1",
    "flyball": "127.0.0.1",
    "prometheus": "--web.listen-address=127.0.0.1:9090",
    "alertmanager": "--web.listen-address=127.0.0.1:9093",
}


def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_each_service_listens_on_loopback_alone_and_publishes_nothing() -> None:
    services = document()["services"]
    assert services.keys() == {*LISTENS, "grafana"}
    assert all(one["network_mode"] == "host" and "ports" not in one for one in services.values())
    assert all(address in services[name]["command"] for name, address in LISTENS.items())
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_secrets_are_files_that_exist_nowhere_in_the_repository() -> None:
    secrets = document()["secrets"]
    used = {name for one in document()["services"].values() for name in one.get("secrets", ())}
    assert used == secrets.keys() and all(list(one) == ["file"] for one in secrets.values())
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_what_it_mounts_is_in_the_repository() -> None:
    mounts = [mount for one in document()["services"].values() for mount in one["volumes"]]
    local = [mount.partition(":")[0] for mount in mounts if mount.startswith("./")]
    assert len(local) >= 4 and all((ROOT / folder).is_dir() for folder in local)
