"""The whole story in one run: a shop's support tickets, from raw rows to a model that is served, watched and improved.

Each step asserts its outcome and fails loudly. Ends with one table and demo/report.json; nothing is left running.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from customers import Customers
from faulty import FaultyServer
from reviewer import Reviewer
from screenshot import take
from shop import Shop, Step, StepFailed, expect, measured

from flyball.compliance.byte_search import search
from flyball.data.samples.tickets import tickets, write_poisoned

HERE = Path(__file__).parent
WORK = HERE / "work"
SETTINGS = {
    "rollout: {strategy: canary, canary_steps: [0.2, 0.5]}": (
        "rollout: {strategy: canary, canary_steps: [0.3, 0.6], min_units: 20, judge_after_s: 2, deadline_s: 120,\n"
        "  margin_failures: 0.1, margin_blocked: 0.1, margin_latency: 1.0, margin_cost: 0.5,\n"
        "  judge_share: 0.5, judge_within_s: 20}\n"
        "monitor: {every_s: 0.5}\n"
        "improve: {min_corrections: 60, cooldown_s: 0}\n"
        "gateway: {first_token_timeout_s: 2.0, stall_timeout_s: 2.0}"
    ),
}


def main() -> int:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    shop = Shop(WORK / "shop")
    steps: list[Step] = []
    began = time.monotonic()
    failed = ""
    try:
        for name, tell in STORY.items():
            with measured(steps, name) as step:
                tell(shop, step)
    except StepFailed as error:
        failed = str(error)
        print(f"\n✘ {failed}", file=sys.stderr)
    finally:
        shop.down()
    report(steps, time.monotonic() - began, failed)
    return 1 if failed else 0


def collect(shop: Shop, step: Step) -> None:
    """1. Raw rows to a dataset version, with every dropped and changed row counted."""
    shop.flyball("init", "shop", cwd=WORK)
    for old, new in SETTINGS.items():
        edit(shop, old, new)
    made = shop.flyball("data")["content"]
    kept = sum(split["rows"] for split in made["splits"])
    expect(made["rows_in"] == kept + sum(made["dropped"].values()), "rows in = rows kept + rows dropped with a reason")
    for reason in ("malformed", "exact duplicate", "near duplicate"):
        expect(made["dropped"].get(reason), f"some rows are dropped as {reason}")
    expect(any(change.startswith("redact:") for change in made["changed"]), "personal data was redacted")
    step.facts = {"rows": made["rows_in"], "kept": kept, "dropped": sum(made["dropped"].values())}


def train(shop: Shop, step: Step) -> None:
    """2. A Llama-architecture model from scratch, tracked in MLflow's local store."""
    made = shop.flyball("train")["content"]
    expect((shop.root / "loop/training/model.safetensors").is_file(), "the weights are safetensors")
    expect((shop.root / ".flyball/mlflow.db").is_file(), "the run is in MLflow's local store")
    step.facts = {"steps": made["steps"], "dataset": made["dataset"][:12]}


def evaluate(shop: Shop, step: Step) -> None:
    """3. Packaged, composed, evaluated in its engine, gated."""
    made = shop.flyball("run")
    expect((shop.root / "loop/model/model.gguf").is_file(), "the engine's file is GGUF")
    expect(made["gate"]["content"]["verdict"] == "pass", "the first release passes its gate")
    match = made["evaluation"]["metrics"]["test.exact_match"]
    expect(match["lower"] > 0.6, f"exact match {match['value']:.3f} is well above its floor")
    step.facts = {"exact_match": f"{match['value']:.3f} [{match['lower']:.3f}, {match['upper']:.3f}]"}
    again = shop.flyball("run")
    expect(not again["changed"] and not again["ran"], "a second run with nothing changed does nothing")


def deploy(shop: Shop, step: Step) -> None:
    """4. Blue-green; several hundred requests with feedback."""
    shop.up()
    wait_live(shop, newest(shop)["release"])
    asked = Customers(shop.gateway, "shop").ask(tickets(11), 400)
    expect(asked.answered == 400, f"every request is answered: {dict(asked.outcomes)}")
    step.facts = {"requests": 400, "right": f"{asked.quality:.3f}"}
    notes(shop).update(first_request=asked.request_ids[0], customers=asked.by_customer, before=asked.quality)


def lineage(shop: Shop, step: Step) -> None:
    """5. One answer, back to its training rows and their file and line."""
    identifier = notes(shop)["first_request"]
    found = shop.wait_for("the request is in the ledger", lambda: story_of(shop, identifier), timeout_s=10)
    for key in ("request", "release", "deployment", "model", "training_run", "dataset", "rows"):
        expect(found.get(key), f"lineage has {key}")
    row = found["rows"][0]
    line = (shop.root / row["source"]).read_bytes().splitlines()[row["line"] - 1]
    expect(b"customer_id" in line, "a row leads to its line in the source file")
    step.facts = {"rows": len(found["rows"]), "first": f"{row['source']}:{row['line']}"}


def improve(shop: Shop, step: Step) -> None:
    """6. The world changes: findings → proposal → retraining → gate → canary, judged on a random sample → promoted."""
    customers, world = Customers(shop.gateway, "shop"), tickets(12, "after")
    reviewer = Reviewer(shop)
    before = customers.ask(world, 700)
    findings = shop.wait_for("a drift and a quality finding", lambda: both_findings(shop), timeout_s=30)
    proposal = shop.wait_for("a proposal", lambda: retraining(shop), timeout_s=30)
    made = shop.flyball("improve", "--accept", proposal["id"])
    expect(made["gate"]["content"]["verdict"] == "pass", "the retrained release passes its gate")
    deployment = made["deployment"]["id"]
    deadline = time.monotonic() + 110
    while shop.deployment(deployment)["state"] not in ("live", "rolled_back", "failed", "paused"):
        expect(time.monotonic() < deadline, "the canary is decided within 110 s")
        reviewer.judge(customers.ask(world, 100))
    transitions = shop.deployment(deployment)["transitions"]
    states, evidence = [one["state"] for one in transitions], transitions[-1]["evidence"]
    expect(states[-1] == "live" and "ramping" in states, f"the canary is promoted: {states}, {json.dumps(evidence)}")
    quality = evidence["measures"]["quality"]
    judged = {arm: quality[arm]["units"] for arm in ("candidate", "live")}
    expect(min(judged.values()) > 0, f"on answers of both releases that were judged: {judged}")
    after = customers.ask(world, 300)
    expect(after.quality > before.quality + 0.05, f"quality {before.quality:.3f} → {after.quality:.3f} rose")
    step.facts = {"findings": len(findings), "before": f"{before.quality:.3f}", "after": f"{after.quality:.3f}"}
    step.facts |= {"judged_canary": judged["candidate"], "judged_live": judged["live"]}
    notes(shop).update(after=after.quality)


def look(shop: Shop, step: Step) -> None:
    """The console as it stands now, as a picture where Chromium is installed."""
    picture = HERE / "screenshots/console.png"
    step.facts = {"picture": picture.name if take(shop.console, picture) else "no Chromium here"}


def poison(shop: Shop, step: Step) -> None:
    """7. A candidate trained on poisoned labels: the gate, `flyball deploy` and the control plane refuse it."""
    good = (shop.root / "flyball.yaml").read_text()
    live = live_release(shop)
    write_poisoned(shop.root / "partner.jsonl", rows=4000)
    source = "    - {path: partner.jsonl, split: train, fields: {text: text, label: intent}}\n  redact:"
    edit(shop, "  redact:", source, once=True)
    made = shop.flyball("run", exit_code=3)
    expect(made["gate"]["content"]["verdict"] == "fail" and made["deployment"] is None, "the gate refuses the release")
    check = next(one for one in made["gate"]["content"]["checks"] if one["verdict"] == "fail")
    shop.flyball("deploy", made["release"]["id"], exit_code=3)
    expect(control_refuses(shop, made), "the control plane refuses a deployment that was slipped past `deploy`")
    expect(live_release(shop) == live, "what is live has not changed")
    (shop.root / "flyball.yaml").write_text(good)
    for name in ("partner.jsonl", "partner.jsonl.dvc"):
        (shop.root / name).unlink()
    step.facts = {"rule": check["rule"], "bound": f"{check['bound']:.3f}", "threshold": check["threshold"]}


def fail(shop: Shop, step: Step) -> None:
    """8. A release whose engine fails and stalls under traffic: automatic rollback, no request failed before a byte."""
    from flyball.serving.engine_processes import engine_process

    live = live_release(shop)
    good = (shop.root / "flyball.yaml").read_text()
    release, artifact = serving_parts(shop, live)
    with engine_process(release, artifact) as engine_url:
        server = FaultyServer(engine_url, stall_s=8.0)
        try:
            edit(shop, "engine: {kind: llama.cpp,", f"engine: {{kind: openai, url: '{server.url}',")
            edit(shop, "release:\n", "release:\n  constraint: none\n")  # the model knows its labels by itself
            edit(shop, "strategy: canary", "strategy: blue-green")
            made = shop.flyball("run")
            wait_live(shop, made["release"]["id"])
            customers, world = Customers(shop.gateway, "shop"), tickets(13, "after")
            expect(customers.ask(world, 40, feedback=False).answered == 40, "the release answers well at first")
            server.broken = True
            began, outcomes = time.monotonic(), {}
            while live_release(shop) == made["release"]["id"]:
                expect(time.monotonic() - began < 60, "the bad release is rolled back within 60 s")
                for name, count in customers.ask(world, 24, feedback=False, stream=True).outcomes.items():
                    outcomes[name] = outcomes.get(name, 0) + count
            seconds = time.monotonic() - began
        finally:
            server.close()
    failed = sum(count for name, count in outcomes.items() if name.startswith("failed"))
    expect(failed == 0, f"no request fails before its first byte: {outcomes}")
    expect(live_release(shop) == live, "the last good release is live again")
    asked = customers.ask(world, 40, feedback=False)
    expect(asked.answered == 40, "after the rollback everything is answered")
    (shop.root / "flyball.yaml").write_text(good)
    step.facts = {"rolled_back_s": f"{seconds:.1f}", "cut": outcomes.get("cut", 0), "failed": failed}


def budget(shop: Shop, step: Step) -> None:
    """9. What it costs, in all and per good answer; a budget stops a runaway client."""
    cost = shop.flyball("cost")
    admin = shop.flyball("key", "create", "admin", "--admin")
    notes(shop).update(key=admin["secret"])
    runaway = shop.flyball("key", "create", "runaway", "--budget-usd", "0.001")
    time.sleep(1.0)
    customers = Customers(shop.gateway, "shop", runaway["secret"])
    spent = 0
    for _ in range(40):
        asked = customers.ask(tickets(14), 50, feedback=False)
        spent += asked.answered
        if asked.outcomes["limited"]:
            break
    expect(asked.outcomes["limited"], f"the budget stops the client; it had {spent} answers")
    step.facts = {
        "total_usd": f"{cost['total_usd']:.5f}",
        "usd_per_good_answer": cost["per_good_answer_usd"],
        "answers_before_stop": spent,
    }


def erase(shop: Shop, step: Step) -> None:
    """10. A person is forgotten: raw rows, versions, requests and feedback; a second collect brings nothing back."""
    customer, address = someone(shop)
    needles = [customer, address]
    before = {hit.path.name for hit in search([shop.root], needles)}
    expect(before, "the person is in the stores before")
    receipt = shop.flyball("subject", "erase", customer)
    left = search([shop.root], needles)
    expect(not left, f"no store names the person any more: {left[:5]}")
    expect(receipt["signature"] and any(receipt["marked"].values()), "the receipt is signed and models are marked")
    collected = shop.flyball("data")
    expect(not collected["ran"], "nothing is collected again")
    found = search([shop.root / "loop"], needles)
    expect(not found, "a second collect does not bring the person back")
    step.facts = {"places_before": len(before), "removed": sum(sum(s.values()) for s in receipt["removed"].values())}


STORY: dict[str, Callable[[Shop, Step], None]] = {
    "1 collect, clean, redact, version": collect,
    "2 train from scratch": train,
    "3 package, evaluate, gate": evaluate,
    "4 deploy blue-green, serve": deploy,
    "5 lineage of one answer": lineage,
    "6 drift, retrain, canary, promote": improve,
    "  the console": look,
    "7 poisoned labels are refused": poison,
    "8 failing engine, rollback": fail,
    "9 cost and budget": budget,
    "10 erase a person": erase,
}


def notes(shop: Shop) -> dict[str, Any]:
    """What one step tells a later one."""
    return shop.__dict__.setdefault("notes", {})


def edit(shop: Shop, old: str, new: str, *, once: bool = False) -> None:
    path = shop.root / "flyball.yaml"
    text = path.read_text()
    expect(old in text, f"flyball.yaml has {old!r}")
    path.write_text(text.replace(old, new, 1 if once else -1))


def rows(found: Any) -> list[dict[str, Any]]:
    return found if isinstance(found, list) else [found]


def newest(shop: Shop) -> dict[str, Any]:
    return rows(shop.flyball("deploy", "history", "--limit", "1"))[0]


def live_release(shop: Shop) -> str | None:
    live = shop.flyball("status")["live"].get("shop")
    return live["release"] if live else None


def wait_live(shop: Shop, release: str) -> None:
    shop.wait_for(f"release {release[:12]} is live", lambda: live_release(shop) == release, timeout_s=60)


def story_of(shop: Shop, identifier: str) -> dict[str, Any] | None:
    try:
        return shop.flyball("lineage", identifier)
    except StepFailed:
        return None


def both_findings(shop: Shop) -> list[dict[str, Any]] | None:
    found = rows(shop.flyball("watch"))
    return found if {"drift", "quality"} <= {finding.get("kind") for finding in found} else None


def retraining(shop: Shop) -> dict[str, Any] | None:
    found = [one for one in rows(shop.flyball("improve")) if one.get("action") == "retrain"]
    return found[0] if found else None


def serving_parts(shop: Shop, release: str) -> tuple[Any, Path]:
    """A release's record and where its packaged model is."""
    from flyball.wiring import open_project

    project = open_project(shop.root)
    record: Any = project.ledger.get(release).record
    path = project.artifacts.path(record.model)
    project.close()
    return record, path


def control_refuses(shop: Shop, made: dict[str, Any]) -> str:
    """Write a deployment straight into the ledger, as a bug or an intruder would; control must not act on it."""
    from flyball.records import Deployment
    from flyball.records.identity import uuid7
    from flyball.wiring import open_project

    project = open_project(shop.root)
    slipped = Deployment(
        id=uuid7(),
        project="shop",
        route="shop",
        release=made["release"]["id"],
        decision=made["gate"]["id"],
        strategy="blue-green",
        plan={},
        replaces=newest(shop)["id"],
        requested_by="intruder",
        reason="slipped past deploy",
    )
    project.ledger.append(slipped)
    project.close()
    shop.wait_for("control refuses", lambda: shop.deployment(slipped.id)["state"] == "failed", timeout_s=20)
    why = str(shop.deployment(slipped.id)["transitions"][-1]["evidence"]["reason"])
    expect("gate" in why, f"control says that the gate did not pass: {why}")
    return why


def someone(shop: Shop) -> tuple[str, str]:
    """A customer with rows in the source and requests in the ledger, and the e-mail address in his rows."""
    text = (shop.root / "tickets.jsonl").read_text(encoding="utf-8", errors="replace")
    for customer in notes(shop)["customers"]:
        lines = [line for line in text.splitlines() if f'"{customer}"' in line]
        found = re.findall(r"[\w.]+@[\w.]+\w", " ".join(lines))
        if found:
            return customer, found[0]
    raise StepFailed("no customer has both rows and requests")


def report(steps: list[Step], seconds: float, failed: str) -> None:
    document = {
        "passed": not failed,
        "failed": failed,
        "seconds": round(seconds, 1),
        "peak_mb": round(max((step.peak_mb for step in steps), default=0.0)),
        "steps": [
            {"name": s.name, "seconds": round(s.seconds, 1), "peak_mb": round(s.peak_mb), **s.facts} for s in steps
        ],
    }
    (HERE / "report.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n{'step':38} {'seconds':>8} {'peak MB':>8}  outcome")
    for step in steps:
        facts = ", ".join(f"{key} {value}" for key, value in step.facts.items())
        print(f"{step.name:38} {step.seconds:8.1f} {step.peak_mb:8.0f}  {facts}")
    print(
        f"{'all':38} {seconds:8.1f} {document['peak_mb']:8}  {'FAILED: ' + failed if failed else 'every outcome held'}"
    )
    print(f"report: {HERE / 'report.json'}")


if __name__ == "__main__":
    sys.exit(main())
