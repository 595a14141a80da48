"""The whole loop, small, on a CPU: as a user walks it, with a real engine, browser-free."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
import yaml

from built_folders import built_folder
from flyball.compliance.byte_search import search
from flyball.data.rows import read_rows
from flyball.data.samples.tickets import tickets
from small_shop import eventually, flyball, make_small_shop, ok, ok_lines, serving


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A project after its first `flyball run`, and what that printed. Tests that change it work on copies."""
    folder = built_folder("journey", build, tmp_path_factory.mktemp("journey") / "built", recipe=__file__)
    return folder / "shop", json.loads((folder / "run.json").read_text())


def build(folder: Path) -> None:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(ok("run", cwd=make_small_shop(folder))))


@pytest.fixture
def shop(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of the built project."""
    target = tmp_path / "shop"
    shutil.copytree(built[0], target, symlinks=True)
    return target


def live(root: Path) -> str | None:
    found = ok("status", cwd=root)["live"]["shop"]
    return found["release"] if found else None


def test_a_run_ends_with_one_object_that_has_everything_the_loop_made(built: tuple[Path, dict[str, Any]]) -> None:
    _, made = built
    assert made["ran"] == ["dataset", "training", "model", "release", "evaluation"]
    assert made["gate"]["content"]["verdict"] == "pass"
    assert made["deployment"]["state"] == "requested"
    match = made["evaluation"]["metrics"]["test.exact_match"]
    assert match["lower"] < match["value"] < match["upper"]
    chain = ("dataset", "training_run", "model", "release", "evaluation")
    assert all(len(made[name]["id"]) == 64 for name in chain)


def test_a_second_run_does_nothing_and_says_so(built: tuple[Path, dict[str, Any]]) -> None:
    root, first = built
    again = ok("run", cwd=root)
    assert again["ran"] == [] and not again["changed"]
    assert again["release"] == first["release"] and again["gate"] == first["gate"]
    assert "Nothing to do" in flyball("run", cwd=root).out


def test_one_changed_setting_reruns_only_what_depends_on_it(shop: Path) -> None:
    settings = (shop / "flyball.yaml").read_text()
    (shop / "flyball.yaml").write_text(settings.replace("slots: 4", "slots: 2"))
    assert ok("run", "--no-deploy", cwd=shop)["ran"] == ["release", "evaluation"]


def test_a_new_price_is_neither_a_new_release_nor_evaluated_again(shop: Path, built: Any) -> None:
    settings = (shop / "flyball.yaml").read_text()
    (shop / "flyball.yaml").write_text(settings.replace("slots: 4", "slots: 4, usd_per_million: [1, 2]"))
    again = ok("run", cwd=shop)
    assert again["ran"] in ([], ["release"]) and again["deployment"] == built[1]["deployment"]
    assert (again["release"], again["gate"]) == (built[1]["release"], built[1]["gate"])


def test_a_newer_release_takes_the_place_of_one_that_nobody_has_begun_to_deploy(shop: Path) -> None:
    settings = (shop / "flyball.yaml").read_text()
    (shop / "flyball.yaml").write_text(settings.replace("slots: 4", "slots: 3"))
    made = ok("run", cwd=shop)
    assert made["ran"] == ["release", "evaluation"] and made["deployment"]["state"] == "requested"
    states = {row["release"]: row["state"] for row in ok_lines("deploy", "history", cwd=shop)}
    assert sorted(states.values()) == ["requested", "rolled_back"] and states[made["release"]["id"]] == "requested"


def test_another_gate_policy_is_another_question_and_another_answer(shop: Path) -> None:
    settings = (shop / "flyball.yaml").read_text()
    (shop / "flyball.yaml").write_text(settings.replace("at_least: 0.05", "at_least: 0.999"))
    refused = flyball("run", "--json", cwd=shop)
    assert refused.code == 3, refused.err
    assert refused.json["ran"] == [] and refused.json["gate"]["content"]["verdict"] == "fail"
    assert flyball("deploy", refused.json["release"]["id"], cwd=shop).code == 3


def test_a_suite_that_training_has_seen_is_named_and_lets_no_release_pass(shop: Path) -> None:
    seen = [row for row in read_rows(shop / "loop" / "dataset", "train") if row.label][:40]
    new = [{"text": f"{row.label} {at}: something quite new", "label": row.label} for at, row in enumerate(seen)]
    cases = [{"text": row.text.upper(), "label": row.label} for row in seen] + new
    (shop / "leaked.jsonl").write_text("\n".join(map(json.dumps, cases)))
    settings = yaml.safe_load((shop / "flyball.yaml").read_text())
    settings["evaluate"] = {**settings.get("evaluate", {}), "suites": ["test", "leaked.jsonl"]}
    settings["gate"] = {"rules": [{"measure": "exact_match", "suite": "leaked", "at_least": 0.01}]}
    (shop / "flyball.yaml").write_text(yaml.safe_dump(settings))
    refused = flyball("run", "--json", cwd=shop)
    assert refused.code == 6, refused.err
    (check,) = refused.json["gate"]["content"]["checks"]
    assert check["reason"].startswith("40 of 80 cases of leaked are in the training rows (gate.leaked_at_most: 0)")
    assert "take the cases of leaked that training has seen" in refused.json["gate"]["cure"]


def test_serving_feedback_lineage_and_erasure(shop: Path, built: tuple[Path, dict[str, Any]]) -> None:
    release = built[1]["release"]["id"]
    with serving(shop) as urls:
        eventually(lambda: live(shop) == release)
        client = openai.OpenAI(base_url=urls["gateway"] + "/v1", api_key="none", max_retries=0)
        assert [model.id for model in client.models.list()] == ["shop"]
        lines = (shop / "tickets.jsonl").read_text(errors="replace").splitlines()
        person = next(json.loads(line) for line in lines if line.startswith("{") and "@" in line)
        raw = client.chat.completions.with_raw_response.create(
            model="shop", user=person["customer_id"], messages=[{"role": "user", "content": person["text"]}]
        )
        identifier = raw.headers["x-flyball-request-id"]
        assert raw.headers["x-flyball-release"] == release
        assert raw.parse().choices[0].message.content in built[1]["dataset"]["content"]["labels"]
        said = ok("feedback", identifier, "--correction", "refund_status", cwd=shop)
        assert said == ok("feedback", identifier, "--correction", "refund_status", cwd=shop), "feedback is idempotent"

        story = eventually(lambda: (r := flyball("lineage", identifier, "--json", cwd=shop)).code == 0 and r.json)
        assert {"request", "release", "deployment", "model", "training_run", "dataset", "rows"} <= set(story)
        assert story["release"]["id"] == release
        row = story["rows"][0]
        assert b"customer_id" in (shop / row["source"]).read_bytes().splitlines()[row["line"] - 1]

        front = urllib.request.urlopen(urls["console"], timeout=10).read().decode()
        assert release[:12] in front
        page = urllib.request.urlopen(f"{urls['console']}/requests/{identifier}", timeout=10).read().decode()
        assert identifier in page and person["customer_id"] not in page

        address = next(word.strip(".,") for word in person["text"].split() if "@" in word)
        needles = [person["customer_id"], address]
        assert search([shop], needles)
        receipt = ok("subject", "erase", person["customer_id"], cwd=shop)
        assert receipt["signature"] and receipt["marked"]["ModelVersion"]
        assert search([shop], needles) == [], "no store names the person"
    again = ok("data", cwd=shop)
    assert again["ran"] == [] and not search([shop / "loop"], needles), "a second collect does not bring them back"


def test_nothing_is_left_running_after_up(shop: Path, built: tuple[Path, dict[str, Any]]) -> None:
    with serving(shop):
        eventually(lambda: live(shop) == built[1]["release"]["id"])
        note = json.loads((shop / ".flyball/run/supervisor.json").read_text())
        running = [note["pid"], *note["processes"].values()]
        assert len(running) == 5 and all(is_alive(pid) for pid in running)
        engines = [json.loads(path.read_text())["pid"] for path in (shop / ".flyball/run/engines").glob("*.json")]
        assert engines
    assert [pid for pid in [*running, *engines] if is_alive(pid)] == []


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    "victim",
    [  # the others are killed under load in tests/failures/test_crashes_under_load.py
        *(pytest.param(name, marks=pytest.mark.long) for name in ("gateway-0", "ingester", "control")),
        *("console", "engine"),
    ],
)
def test_a_killed_process_comes_back_and_no_acknowledged_request_is_lost(shop: Path, victim: str) -> None:
    with serving(shop) as urls:
        client = openai.OpenAI(base_url=urls["gateway"] + "/v1", api_key="none", max_retries=0, timeout=20)
        eventually(lambda: live(shop) is not None)
        asked, stream = [], tickets(3)

        def ask() -> openai.APIError | None:
            """What went wrong, if anything."""
            try:
                raw = client.chat.completions.with_raw_response.create(
                    model="shop", messages=[{"role": "user", "content": next(stream).text}]
                )
            except openai.APIError as error:
                return error
            asked.append(raw.headers["x-flyball-request-id"])
            return None

        def ask_twenty() -> list[openai.APIError]:
            return [error for error in (ask() for _ in range(20)) if error]

        assert ask_twenty() == []
        note = json.loads((shop / ".flyball/run/supervisor.json").read_text())
        engine = next((shop / ".flyball/run/engines").glob("*.json"))
        psutil.Process(
            json.loads(engine.read_text())["pid"] if victim == "engine" else note["processes"][victim]
        ).kill()
        eventually(lambda: ask() is None)
        assert ask_twenty() == []

        def recorded() -> bool:
            rows = ok_lines("requests", "--limit", "1000", cwd=shop)
            return set(asked) <= {row["id"] for row in rows}

        eventually(recorded)


def test_dvc_users_find_what_they_expect_also_in_a_clone(shop: Path, tmp_path: Path) -> None:
    def run(*command: str, cwd: Path = shop) -> str:
        program = [sys.executable, "-m", "dvc", *command[1:]] if command[0] == "dvc" else list(command)
        done = subprocess.run(program, cwd=cwd, capture_output=True, text=True, env=with_our_command())
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    assert "up to date" in run("dvc", "repro")
    for name, value in (("user.name", "a"), ("user.email", "a@example.com")):
        run("git", "config", name, value)
    run("git", "add", "-A")
    run("git", "commit", "-qm", "first")
    run("dvc", "remote", "add", "-d", "store", str(tmp_path / "remote"))
    run("dvc", "push", "-q")
    run("git", "commit", "-qam", "remote")
    settings = (shop / "flyball.yaml").read_text()
    (shop / "flyball.yaml").write_text(settings.replace("steps: 120", "steps: 60"))
    run("dvc", "repro")
    assert "exact_match" in run("dvc", "metrics", "diff")

    clone = tmp_path / "clone"
    run("git", "clone", "-q", str(shop), str(clone), cwd=tmp_path)
    run("dvc", "pull", "-q", cwd=clone)
    (clone / ".flyball/keys").mkdir(parents=True)
    shutil.copy2(shop / ".flyball/keys/project.key", clone / ".flyball/keys/project.key")
    again = ok("run", "--no-deploy", cwd=clone)
    assert again["ran"] == [] and again["dataset"]["id"], "the records came back with the outputs"
    assert ok("lineage", again["model"]["id"], cwd=clone)["rows"]


def with_our_command() -> dict[str, str]:
    import os

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}


def test_a_separately_opened_mlflow_finds_the_run(built: tuple[Path, dict[str, Any]]) -> None:
    root, made = built
    script = (
        "import sys, mlflow; from mlflow import MlflowClient; c = MlflowClient(tracking_uri=sys.argv[1]);"
        "print([r.data.params for e in c.search_experiments() for r in c.search_runs([e.experiment_id])])"
    )
    store = f"sqlite:///{root / '.flyball/mlflow.db'}"
    done = subprocess.run([sys.executable, "-c", script, store], capture_output=True, text=True, cwd=root)
    assert "steps" in done.stdout, done.stderr
    assert made["training_run"]["id"]
