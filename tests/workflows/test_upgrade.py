"""A ledger whose live release was made by the code of before: it serves, its price and key may change, it gates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import insert, select

from chat_server import ChatServer, chat_server
from control_shop import passes
from flyball.control.context import ControlContext
from flyball.control.reconciler import step
from flyball.inference.prompt_path import PROMPT_PATH
from flyball.records import EvalReport, GateDecision, Release, canonical_bytes, name_of, parse
from flyball.rollout.deployments import request_deployment, rollback
from flyball.settings import load_settings
from flyball.storage import tables
from flyball.storage.deployments import pointer
from flyball.storage.ledger import Ledger
from flyball.storage.routing import Arm, RoutingTable, load
from flyball.telemetry import quiet
from flyball.wiring import Project
from flyball.workflows.control_jobs import control_context
from flyball.workflows.evaluate import evaluate_release
from flyball.workflows.gate import gate
from flyball.workflows.record_intake import keep_report, take_record
from flyball.workflows.run import standing_decision
from running_gateway import RunningGateway

LABELS = ["billing", "refund"]
SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


def old_bytes(kind: str, content: dict[str, Any]) -> bytes:
    """A record's bytes as the code of before wrote them, made without ours."""
    document = {"type": kind, "version": 1, "content": content}
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def old_release(url: str) -> bytes:
    flags = {"url": url, "model": "small", "api_key": "env:OLD_NAME", "usd_per_million": [1.0, 2.0]}
    return old_bytes(
        "Release",
        {
            "project": "shop",
            "task": "classification",
            "model": "m" * 64,
            "adapter": None,
            "artifact": "m" * 64,
            "chat_template": "",
            "system_prompt": None,
            "examples": [],
            "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 128},
            "constraint": {"kind": "labels", "labels": LABELS, "schema": None},
            "input_redaction": "default",
            "guardrails": [],
            "engine": {"kind": "openai", "context": 256, "slots": 4, "threads": 1, "flags": flags},
        },
    )


def old_report(release: str) -> bytes:
    return old_bytes(
        "EvalReport",
        {
            "project": "shop",
            "release": release,
            "dataset": None,
            "suites": [{"name": "cases", "fingerprint": "f" * 64, "items": 60}],
            "measures": [],
            "items_hash": "0" * 64,
            "failures": 0,
            "engine": "openai",
            "prompt_path": 1,
        },
    )


def old_decision(release: str, report: str) -> bytes:
    return old_bytes(
        "GateDecision",
        {
            "project": "shop",
            "release": release,
            "report": report,
            "baseline_release": None,
            "baseline_report": None,
            "policy": {},
            "alpha": 0.05,
            "checks": [],
            "verdict": "pass",
        },
    )


def write_settings(root: Path, url: str, **terms: object) -> None:
    engine = {"kind": "openai", "url": url, "model": "small", **terms}
    rules = [
        {"measure": "exact_match", "suite": "cases", "at_least": 0.6},
        {"measure": "exact_match", "suite": "cases", "not_worse_than_live": 0.1},
    ]
    document = {
        "version": 1,
        "project": "shop",
        "data": {"sources": [{"path": "rows.jsonl"}]},
        "release": {"engine": engine},
        "evaluate": {"suites": ["cases.jsonl"]},
        "gate": {"rules": rules},
    }
    (root / "flyball.yaml").write_text(yaml.safe_dump(document))


@dataclass
class Upgraded:
    """The project of before, under the code of now."""

    root: Path
    ledger: Ledger
    server: ChatServer
    bodies: dict[str, bytes]
    live: str

    def project(self) -> Project:
        """As a new process opens it."""
        environment = {"OLD_NAME": "secret-1", "NEW_NAME": "secret-2"}
        made = Project(root=self.root, settings=load_settings(self.root), environment=environment)
        made.__dict__["ledger"] = self.ledger
        return made

    def set(self, **terms: object) -> None:
        write_settings(self.root, self.server.url, **terms)

    def routes(self) -> RoutingTable:
        return load(self.root / ".flyball/run/routes.json")

    def live_arm(self) -> Arm | None:
        try:
            arms = self.routes().routes[0].arms
        except (OSError, IndexError):
            return None
        return next((arm for arm in arms if arm.variant == "live" and arm.endpoints), None)

    def deploy(self, context: ControlContext, release: str) -> None:
        request_deployment(
            self.ledger,
            project="shop",
            route="shop",
            release=release,
            strategy="blue-green",
            plan={},
            requested_by="local",
            reason="a test",
        )
        passes(context, lambda: (arm := self.live_arm()) is not None and arm.release == release)

    def control(self) -> ControlContext:
        return replace(control_context(self.project()), watch=None, propose=None, retention=None)


@pytest.fixture
def upgraded(ledger: Ledger, tmp_path: Path) -> Iterator[Upgraded]:
    """A release of before is live; what it was evaluated on and admitted by is in the ledger too."""
    with chat_server(
        lambda text, _: next(label for label in (*LABELS, "refund") if label in text + "refund")
    ) as server:
        write_settings(tmp_path, server.url, api_key="env:OLD_NAME", usd_per_million=[1.0, 2.0])
        cases = [{"text": f"my {LABELS[n % 2]} number {n}", "label": LABELS[n % 2]} for n in range(60)]
        (tmp_path / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
        (tmp_path / ".flyball").mkdir()
        release = old_release(server.url)
        live = hashlib.sha256(release).hexdigest()
        report = old_report(live)
        decision = old_decision(live, hashlib.sha256(report).hexdigest())
        bodies = {hashlib.sha256(body).hexdigest(): body for body in (release, report, decision)}
        with ledger.begin() as connection:
            for kind, (name, body) in zip(("Release", "EvalReport", "GateDecision"), bodies.items(), strict=True):
                row = {"id": name, "project": "shop", "type": kind, "body": body, "recorded": "{}", "at_ms": 1}
                connection.execute(insert(tables.records).values(**row))
            for child, relation in ((report, "release"), (decision, "release")):
                edge = {"child": hashlib.sha256(child).hexdigest(), "relation": relation, "parent": live}
                connection.execute(insert(tables.edges).values(**edge))
        yield Upgraded(root=tmp_path, ledger=ledger, server=server, bodies=bodies, live=live)


def built(shop: Upgraded, project: Project, old: Release) -> tuple[str, EvalReport]:
    """A candidate as the build makes one now: it says its fields, and has neither key nor prices."""
    engine = replace(old.engine, flags={"url": shop.server.url, "model": "small"})
    candidate = replace(old, engine=engine, request_fields=(), system_prompt="Be kind.")
    out = shop.root / "evaluation"
    report = evaluate_release(project, candidate, artifact=project.places.model, dataset=None, out=out, progress=quiet)
    keep_report(project, report, out)
    take_record(project, candidate, {})
    take_record(project, report, {"seconds": 1.0})
    return name_of(candidate), report


@SQLITE
def test_it_serves_and_a_new_price_or_a_renamed_secret_needs_neither_build_nor_gate(upgraded: Upgraded) -> None:
    shop = upgraded
    old = shop.ledger.get(shop.live).record
    assert isinstance(old, Release) and (old.request_fields, old.preparation) == (None, None)
    context = shop.control()
    shop.deploy(context, shop.live)
    arm = shop.live_arm()
    assert arm and arm.prompt_path == old and arm.usd_per_million == (1.0, 2.0)
    assert arm.endpoints[0].api_key == "env:OLD_NAME" and set(shop.server.keys) == {"Bearer secret-1"}

    shop.set(api_key="env:NEW_NAME", usd_per_million=[7.0, 8.0])
    step(context)
    arm = shop.live_arm()
    assert arm and arm.release == shop.live and arm.usd_per_million == (7.0, 8.0)
    assert arm.endpoints[0].api_key == "env:NEW_NAME"

    gateway = RunningGateway(shop.root / "gateway", shop.routes())
    gateway.context = replace(gateway.context, secrets=context.secrets)
    with gateway:
        body = {"model": "shop", "messages": [{"role": "user", "content": "my refund"}], "logprobs": True, "odd": 1}
        status, headers, answer = gateway.post("/v1/chat/completions", body)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "refund")
        assert headers["x-flyball-release"] == shop.live and "x-flyball-ignored" not in headers
    assert shop.server.keys[-1] == "Bearer secret-2"

    (shop.root / "flyball.yaml").write_text("no: settings\n")  # half written: what was said last goes on
    step(context)
    assert shop.live_arm() == arm
    context.background.join(10)


@SQLITE
def test_the_gate_measures_it_again_and_a_new_release_rolls_back_to_it(upgraded: Upgraded) -> None:
    shop = upgraded
    context = shop.control()
    shop.deploy(context, shop.live)
    shop.set(api_key="env:NEW_NAME")
    project, said = shop.project(), list[str]()
    old = project.ledger.get(shop.live).record
    assert isinstance(old, Release)
    candidate, report = built(shop, project, old)
    decision = gate(project, report, route="shop", progress=quiet, say=said.append)

    assert decision.verdict == "pass" and decision.baseline_release == shop.live
    assert len(said) == 1 and f"was measured through prompt path 1, which is {PROMPT_PATH} now" in said[0]
    baseline = shop.ledger.get(str(decision.baseline_report)).record
    assert isinstance(baseline, EvalReport) and baseline.prompt_path == PROMPT_PATH == report.prompt_path
    asked = len(shop.server.asked)
    assert gate(project, report, route="shop", progress=quiet, say=said.append) == decision
    assert len(said) == 1 and len(shop.server.asked) == asked  # what was measured once is there

    step(context)
    shop.deploy(context, candidate)
    rollback(shop.ledger, "shop", requested_by="local", reason="a test")
    passes(context, lambda: (arm := shop.live_arm()) is not None and arm.release == shop.live)
    found = pointer(shop.ledger, "shop")
    assert found is not None and found.live_release == shop.live
    with shop.ledger.read() as connection:
        rows = dict(connection.execute(select(tables.records.c.id, tables.records.c.body)).all())
    assert {name: bytes(rows[name]) for name in shop.bodies} == shop.bodies  # not a byte was written anew
    context.background.join(10)


@SQLITE
def test_a_candidate_whose_own_report_is_older_is_measured_again_too(upgraded: Upgraded) -> None:
    shop = upgraded
    context = shop.control()
    shop.deploy(context, shop.live)
    project, said = shop.project(), list[str]()
    old = project.ledger.get(shop.live).record
    assert isinstance(old, Release)
    candidate, report = built(shop, project, old)
    before = replace(report, prompt_path=1, dataset="d" * 64)
    project.ledger.append(before)
    decision = gate(project, before, route="shop", progress=quiet, say=said.append)
    assert decision.report == name_of(report) and decision.verdict == "pass" and decision.release == candidate
    assert standing_decision(project, before, "shop") == decision  # the next run has nothing to do
    context.background.join(10)


def test_the_names_of_before_are_the_names_of_now() -> None:
    made = [(old_release("http://x"), Release), (old_report("r"), EvalReport), (old_decision("r", "e"), GateDecision)]
    for body, kind in made:
        record: Release | EvalReport | GateDecision = parse(body, kind)
        assert canonical_bytes(record) == body and name_of(record) == hashlib.sha256(body).hexdigest()
