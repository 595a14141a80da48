"""The chart's own commands on a real PostgreSQL: two gateway pods, the console and the migration, as processes."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chat_server import chat_server
from flyball.rollout.deployments import request_deployment
from flyball.security.keys import parse_project_key
from flyball.supervision.ports import any_port
from helm_pods import Document, Pod, secrets_of
from helm_program import rendered, values_file
from served import NAME, add_release, make_project
from whole_hosts import recorded

KINDS = ("StatefulSet", "Deployment", "Job")


@dataclass
class Gateway:
    """A gateway pod and its port."""

    pod: Pod
    port: int
    key: str

    def get(self, path: str, key: str = "") -> int:
        """The status of a GET, as a probe asks by the pod's address, which is not loopback."""
        headers = {"host": f"10.0.0.7:{self.port}", **({"authorization": f"Bearer {key}"} if key else {})}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code
        except OSError:
            return 0

    def ask(self) -> str:
        """One question; the id of its record."""
        body = {"model": NAME, "messages": [{"role": "user", "content": "hi"}]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer)["choices"][0]["message"]["content"] == "hello"
            return str(answer.headers["x-flyball-request-id"])

    def probe(self, name: str) -> int:
        """The status that a probe of the gateway's container gets."""
        return self.get(self.pod.container("gateway")[name]["httpGet"]["path"])


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def start(gateway: Gateway) -> None:
    """Start a gateway pod as the kubelet does: one container after the other."""
    for name in ("admin-key", "metrics-key"):
        done = gateway.pod.run(name)
        assert done.returncode == 0, done.stderr
        assert gateway.pod.secrets["shop-flyball-keys"][name].encode() not in done.stdout + done.stderr
    for name in ("control", "ingester", "gateway"):
        gateway.pod.start(name)


def pods_of(documents: list[Document]) -> dict[str, Document]:
    """The pod of each workload, by what the workload is for."""
    return {
        one["metadata"]["name"].removeprefix("shop-flyball-"): one["spec"]["template"]["spec"]
        for one in documents
        if one["kind"] in KINDS
    }


@pytest.fixture
def ledger_server(postgresql_server: str) -> str:
    """A database that holds no tables."""
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS helm WITH (FORCE)")
        admin.execute("CREATE DATABASE helm")
    return f"{postgresql_server}/helm"


def test_pods_answer_one_leads_and_an_ending_one_leaves_no_record_behind(
    ledger_server: str, tmp_path: Path, stack: ExitStack
) -> None:
    flags = ("--values", values_file("minimal"), "--set", "ledger.existingSecret=database")
    flags += ("--set", "serviceMonitor.enabled=true")
    documents = rendered(*flags)
    settings = next(one for one in documents if one["kind"] == "ConfigMap")["data"]["flyball.yaml"]
    secrets = secrets_of(documents, database={"url": ledger_server})
    keys = secrets["shop-flyball-keys"]
    parse_project_key(keys["project-key"])

    def pod(name: str, documents: list[Document], folder: str) -> Pod:
        made = Pod(folder=tmp_path / folder, spec=pods_of(documents)[name], settings=settings, secrets=secrets)
        stack.callback(made.kill)
        return made

    gateways = []
    for number, port in enumerate((any_port(), any_port())):
        own = rendered(*flags, "--set", f"gateway.port={port}")
        gateways.append(Gateway(pod("gateway", own, f"gateway-{number}"), port, keys["admin-key"]))
    assert [one["name"] for one in gateways[0].pod.spec["initContainers"]] == [
        "admin-key",
        "metrics-key",
        "control",
        "ingester",
    ]
    with ThreadPoolExecutor() as both:
        list(both.map(start, gateways))
    for one in gateways:
        wait_for(lambda one=one: one.probe("livenessProbe") == 200, one.pod.log("gateway"))  # type: ignore[misc]
        assert one.probe("startupProbe") == 200
        assert one.probe("readinessProbe") == 503, "nothing is deployed"

    # A release, as somebody deploys it from elsewhere.
    server = stack.enter_context(chat_server(lambda _text, _number: "hello"))
    project = make_project(tmp_path / "laptop", ledger_url=ledger_server)
    stack.callback(project.close)
    release = add_release(project, "hi", url=server.url)
    request_deployment(
        project.ledger,
        project=NAME,
        route=NAME,
        release=release,
        strategy="blue-green",
        plan={},
        requested_by="local",
        reason="the first",
    )
    for one in gateways:
        wait_for(lambda one=one: one.probe("readinessProbe") == 200, one.pod.log("control"))  # type: ignore[misc]
        assert one.get("/v1/models") == 401 and one.get("/v1/models", keys["admin-key"]) == 200
        assert one.get("/metrics") == 401 and one.get("/metrics", keys["metrics-key"]) == 200
    leaders = ["holding the lease" in one.pod.log("control") for one in gateways]
    assert sorted(leaders) == [False, True]

    # The leading pod ends as the kubelet ends it, with records that nobody has taken in yet.
    ending, staying = (gateways[leaders.index(lead)] for lead in (True, False))
    ending.pod.pause("ingester")
    asked = [ending.ask() for _ in range(20)] + [staying.ask()]
    assert (
        ending.pod.run("control", ending.pod.container("control")["livenessProbe"]["exec"]["command"]).returncode == 0
    )
    assert ending.pod.end("gateway") == 0
    assert len(asked) > len(recorded(project))
    ending.pod.pause("ingester", go_on=True)
    assert [ending.pod.end(name) for name in ("ingester", "control")] == [0, 0]
    assert not list((ending.pod.state / "segments").glob("*.seg")), "records are left on the volume"
    wait_for(lambda: set(asked) == recorded(project).keys(), "a record was lost")
    assert set(recorded(project).values()) == {1}
    wait_for(lambda: "holding the lease" in staying.pod.log("control"), "nobody leads")
    assert staying.ask()

    migration, console = pod("migration", documents, "migration"), pod("console", documents, "console")
    console.spec = json.loads(json.dumps(console.spec).replace("8400", str(any_port())))  # others may hold that one
    console.start("console")
    done = migration.run("migration")
    assert done.returncode == 0, done.stderr
    probe = console.container("console")["readinessProbe"]["exec"]["command"]
    wait_for(lambda: console.run("console", probe).returncode == 0, console.log("console"))
    assert console.end("console") in (0, -signal.SIGTERM)  # uvicorn raises it again, which process 1 takes for an end
