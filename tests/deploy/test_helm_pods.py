"""The chart's own commands on a real PostgreSQL: two gateway pods, the console and the migration, as processes."""

from __future__ import annotations

import json
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chat_server import chat_server
from flyball.rollout.deployments import request_deployment
from flyball.security.keys import parse_project_key
from flyball.supervision.ports import any_port
from flyball.wiring import Project
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

    def ask(self) -> tuple[str, str]:
        """One question: the answer, and the id of its record."""
        body = {"model": NAME, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = json.load(answer)["choices"][0]["message"]["content"]
            return text, str(answer.headers["x-flyball-request-id"])

    def answers(self) -> bool:
        """Whether a question is answered."""
        try:
            return bool(self.ask())
        except OSError:
            return False

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


@dataclass
class Install:
    """A rendered chart whose pods run, on a ledger of its own."""

    folder: Path
    ledger: str
    flags: tuple[str, ...]
    stack: ExitStack

    @cached_property
    def documents(self) -> list[Document]:
        return rendered(*self.flags)

    @cached_property
    def secrets(self) -> dict[str, Mapping[str, str]]:
        return secrets_of(self.documents, database={"url": self.ledger})

    @property
    def keys(self) -> Mapping[str, str]:
        return self.secrets["shop-flyball-keys"]

    def pod(self, name: str, folder: str, *flags: str) -> Pod:
        """A pod of a workload, rendered with further flags; nothing of it runs yet."""
        settings = next(one for one in self.documents if one["kind"] == "ConfigMap")["data"]["flyball.yaml"]
        spec = pods_of(rendered(*self.flags, *flags))[name]
        made = Pod(folder=self.folder / folder, spec=spec, settings=settings, secrets=self.secrets)
        self.stack.callback(made.kill)
        return made

    def gateways(self, count: int) -> list[Gateway]:
        """Gateway pods, each with a port of its own."""
        ports = [any_port() for _ in range(count)]
        pods = [self.pod("gateway", f"gateway-{port}", "--set", f"gateway.port={port}") for port in ports]
        return [Gateway(pod, port, self.keys["admin-key"]) for pod, port in zip(pods, ports, strict=True)]

    @cached_property
    def project(self) -> Project:
        """The project as somebody has it elsewhere."""
        made = make_project(self.folder / "laptop", ledger_url=self.ledger)
        self.stack.callback(made.close)
        return made

    def deploy(self, release: str) -> None:
        """Ask for a deployment, as `flyball deploy` does."""
        request_deployment(
            self.project.ledger,
            project=NAME,
            route=NAME,
            release=release,
            strategy="blue-green",
            plan={},
            requested_by="local",
            reason="a test",
        )


def all_ready(gateways: list[Gateway], seconds: float = 30) -> None:
    for one in gateways:
        wait_for(lambda one=one: one.probe("readinessProbe") == 200, one.pod.log("control"), seconds)  # type: ignore[misc]


@pytest.fixture
def install(ledger_server: str, tmp_path: Path, stack: ExitStack) -> Install:
    flags = ("--values", values_file("minimal"), "--set", "ledger.existingSecret=database")
    return Install(folder=tmp_path, ledger=ledger_server, flags=flags, stack=stack)


def test_pods_answer_one_leads_and_an_ending_one_leaves_no_record_behind(install: Install) -> None:
    install.flags += ("--set", "serviceMonitor.enabled=true")
    parse_project_key(install.keys["project-key"])
    gateways = install.gateways(2)
    names = ["admin-key", "metrics-key", "control", "ingester"]
    assert [one["name"] for one in gateways[0].pod.spec["initContainers"]] == names
    with ThreadPoolExecutor() as both:
        list(both.map(start, gateways))
    for one in gateways:
        wait_for(lambda one=one: one.probe("livenessProbe") == 200, one.pod.log("gateway"))  # type: ignore[misc]
        assert one.probe("startupProbe") == 200
        assert one.probe("readinessProbe") == 503, "nothing is deployed"

    server = install.stack.enter_context(chat_server(lambda _text, _number: "hello"))
    install.deploy(add_release(install.project, "hi", url=server.url))
    all_ready(gateways)
    for one in gateways:
        assert one.get("/v1/models") == 401 and one.get("/v1/models", install.keys["admin-key"]) == 200
        assert one.get("/metrics") == 401 and one.get("/metrics", install.keys["metrics-key"]) == 200
    leaders = ["holding the lease" in one.pod.log("control") for one in gateways]
    assert sorted(leaders) == [False, True]

    # The leading pod ends as the kubelet ends it, with records that nobody has taken in yet.
    ending, staying = (gateways[leaders.index(lead)] for lead in (True, False))
    ending.pod.pause("ingester")
    answers = [ending.ask() for _ in range(20)] + [staying.ask()]
    assert {text for text, _ in answers} == {"hello"}
    asked = {record for _, record in answers}
    probe = ending.pod.container("control")["livenessProbe"]["exec"]["command"]
    assert ending.pod.run("control", probe).returncode == 0
    assert ending.pod.end("gateway") == 0
    assert len(asked) > len(recorded(install.project))
    ending.pod.pause("ingester", go_on=True)
    assert [ending.pod.end(name) for name in ("ingester", "control")] == [0, 0]
    assert not list((ending.pod.state / "segments").glob("*.seg")), "records are left on the volume"
    wait_for(lambda: asked == recorded(install.project).keys(), "a record was lost")
    assert set(recorded(install.project).values()) == {1}
    wait_for(lambda: "holding the lease" in staying.pod.log("control"), "nobody leads")
    assert staying.ask()


def test_the_migration_ends_and_the_console_shows_itself_to_its_probe(install: Install) -> None:
    migration, console = install.pod("migration", "migration"), install.pod("console", "console")
    done = migration.run("migration")
    assert done.returncode == 0, done.stderr
    console.spec = json.loads(json.dumps(console.spec).replace("8400", str(any_port())))  # others may hold that one
    console.start("console")
    probe = console.container("console")["readinessProbe"]["exec"]["command"]
    wait_for(lambda: console.run("console", probe).returncode == 0, console.log("console"))
    assert console.end("console") in (0, -signal.SIGTERM)  # uvicorn raises it again, which process 1 takes for an end


@pytest.mark.long
def test_an_engine_in_the_pod_answers_and_one_whose_process_dies_is_started_again(install: Install) -> None:
    install.flags += ("--set", "artifacts.existingClaim=models")
    (gateway,) = install.gateways(1)
    release = add_release(install.project, "hi", slots=2)
    mounts = {one["name"]: one["mountPath"] for one in gateway.pod.container("control")["volumeMounts"]}
    assert mounts["artifacts"] == "/project/.flyball/artifacts"
    shutil.copytree(install.project.places.artifacts, gateway.pod.state / "artifacts")
    gateway.pod.run("admin-key")
    for name in ("control", "ingester", "gateway"):
        gateway.pod.start(name)
    install.deploy(release)
    all_ready([gateway], 60)
    assert gateway.ask()[1]
    status = json.loads(gateway.pod.run("control", ["flyball", "status", "--json"]).stdout)
    assert status["live"][NAME]["release"] == release
    assert gateway.pod.end("control") == 0  # and with it the engine, as with its container
    gateway.pod.start("control")
    wait_for(lambda: gateway.probe("readinessProbe") == 200 and gateway.answers(), gateway.pod.log("control"), 60)
    assert [gateway.pod.end(name) for name in ("gateway", "ingester")] == [0, 0]


@pytest.mark.long
def test_a_pod_that_starts_while_the_ledger_is_away_serves_with_the_last_keys_and_routes(install: Install) -> None:
    (gateway,) = install.gateways(1)
    assert gateway.pod.run("admin-key").returncode == 0
    for name in ("control", "ingester", "gateway"):
        gateway.pod.start(name)
    server = install.stack.enter_context(chat_server(lambda _text, _number: "hello"))
    install.deploy(add_release(install.project, "hi", url=server.url))
    all_ready([gateway])
    gateway.pod.kill()  # the node is lost; the volume comes along to another

    known = gateway.pod.secrets
    gateway.pod.secrets = {**known, "database": {"url": "postgresql://flyball@127.0.0.1:1/helm"}}
    assert gateway.pod.run("admin-key").returncode == 0
    gateway.pod.start("gateway")
    all_ready([gateway])
    _, record = gateway.ask()
    fresh = install.pod("gateway", "new")
    fresh.secrets = gateway.pod.secrets
    assert fresh.run("admin-key").returncode != 0, "a pod without keys must not open"
    assert gateway.pod.end("gateway") == 0

    gateway.pod.secrets = known
    for name in ("control", "ingester"):
        gateway.pod.start(name)
    wait_for(lambda: record in recorded(install.project), "what was answered meanwhile is not in the ledger")
