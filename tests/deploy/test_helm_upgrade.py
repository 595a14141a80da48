"""Secrets are made once: an upgrade finds them in the cluster, here a double of its API server, and keeps them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flyball.security.keys import parse_project_key
from helm_pods import Document
from helm_program import objects, template, values_file

KINDS = {
    "v1": ("Secret", "ConfigMap", "Service", "ServiceAccount"),
    "apps/v1": ("Deployment", "StatefulSet"),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "policy/v1": ("PodDisruptionBudget",),
}
"""What the server says that it knows."""


def discovery() -> dict[str, Document]:
    """The answers by which a client learns of these kinds."""
    groups = [version.split("/") for version in KINDS if "/" in version]
    found: dict[str, Document] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "groups": [
                {"name": group, "versions": [{"groupVersion": f"{group}/{version}", "version": version}]}
                for group, version in groups
            ],
        },
    }
    for version, kinds in KINDS.items():
        resources = [{"name": f"{kind.lower()}s", "namespaced": True, "kind": kind, "verbs": ["get"]} for kind in kinds]
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        found[path] = {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
    return found


DISCOVERY = discovery()
MISSING = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class ApiServer(ThreadingHTTPServer):
    """A double of an API server that holds Secrets, and is only asked for them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.secrets: dict[str, Document] = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ApiServer)
        path = self.path.partition("?")[0]
        name = path.removeprefix("/api/v1/namespaces/loop/secrets/")
        found = DISCOVERY.get(path) or self.server.secrets.get(name)
        body = json.dumps(found or MISSING).encode()
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[ApiServer]:
    made = ApiServer()
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def secrets(server: ApiServer, *flags: str) -> dict[str, Document]:
    """The Secrets that helm would apply beside what the cluster holds."""
    address = f"http://127.0.0.1:{server.server_port}"
    server_side = ("--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", address)
    found = objects(template("--values", values_file("minimal"), *server_side, *flags))
    return {one["metadata"]["name"]: one for one in found if one["kind"] == "Secret"}


def test_an_upgrade_keeps_every_key_and_adds_what_is_new(server: ApiServer) -> None:
    first = secrets(server)
    assert first.keys() == {"shop-flyball-keys", "shop-flyball-postgresql"}
    assert secrets(server)["shop-flyball-keys"]["data"] != first["shop-flyball-keys"]["data"]
    server.secrets = first
    assert secrets(server, "--is-upgrade", "--set", "gateway.replicas=5") == first
    older = {name: value for name, value in first["shop-flyball-keys"]["data"].items() if name != "metrics-key"}
    server.secrets = {**first, "shop-flyball-keys": {**first["shop-flyball-keys"], "data": older}}
    again = secrets(server, "--is-upgrade")["shop-flyball-keys"]["data"]
    assert older.items() < again.items() and again["metrics-key"]


def test_made_keys_are_ones_that_flyball_takes_and_an_uninstall_leaves_them(server: ApiServer) -> None:
    for one in secrets(server).values():
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    for _ in range(5):  # base64 has two letters more than a URL may
        made = secrets(server)["shop-flyball-keys"]["data"]
        values = {name: base64.b64decode(value).decode() for name, value in made.items()}
        parse_project_key(values["project-key"])
        assert len(values["admin-key"]) == 46 and values["admin-key"] != values["metrics-key"]


def test_keys_of_the_users_own_are_not_made(server: ApiServer) -> None:
    flags = ("--set", "secrets.existingSecret=mine", "--set", "ledger.existingSecret=database")
    assert secrets(server, *flags) == {}
