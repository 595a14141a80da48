"""Two releases tried on one input by real engines: both answer, nothing counts, and one spare engine is the most."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import func, select

from flyball.cost.charges import summary
from flyball.errors import InputError, LockedError, RefusedError
from flyball.records import Transition
from flyball.security import audit
from flyball.security.principals import Principal
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import start_engine, stop_engine, wait_ready
from flyball.serving.gpu_room import NoRoom
from flyball.storage import tables
from flyball.storage.deployments import add_transition, move_pointer
from flyball.storage.ledger import open_ledger
from flyball.wiring import Project
from flyball.workflows import spare_engine
from flyball.workflows.playground import Playground, Tried, messages_in, suite_cases
from flyball.workflows.spare_engine import SpareEngine
from judged_traffic import project_on
from record_samples import deployment_record
from tiny_releases import add_release

ASKED = messages_in("where is my kettle", as_json=False)


@pytest.fixture
def project(sqlite_template: Path, tmp_path: Path) -> Iterator[Project]:
    """An empty project in which tokens cost something."""
    shutil.copyfile(sqlite_template, tmp_path / "ledger.db")
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", project="shop")
    prices = {"prompt_usd_per_million": 1.0, "completion_usd_per_million": 2.0}
    yield project_on(ledger, tmp_path / "shop", cost=prices)
    ledger.close()


@pytest.fixture
def playground(project: Project) -> Iterator[Playground]:
    made = Playground(project)
    yield made
    made.close()


def engines() -> list[int]:
    """Engine processes that belong to this one."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if "engine_server" in line and f'"owner_pid":{os.getpid()},' in line:
            found.append(process.pid)
    return found


def rows(project: Project, table: str) -> int:
    with project.ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(getattr(tables, table))).scalar_one())


def test_both_answer_through_their_own_prompt_path_and_nothing_of_it_is_traffic(
    project: Project, playground: Playground
) -> None:
    one, two = add_release(project), add_release(project, seed=1, system_prompt="Be brief.")
    left, right = playground.answers((one, two), ASKED)
    assert (left.name, right.name) == (one, two) and not left.problem and not right.problem
    assert left.text and right.text and left.text != right.text
    assert right.prompt_tokens > left.prompt_tokens, "its system prompt was asked too"
    assert left.total_ms > 0 and left.completion_tokens == 8 and left.log_probability is not None
    assert left.usd == pytest.approx((left.prompt_tokens + 2 * left.completion_tokens) / 1e6)
    assert [rows(project, name) for name in ("requests", "feedback")] == [0, 0]
    spent = summary(project.ledger)
    assert spent.by_kind == {"playground": pytest.approx(left.usd + right.usd)} and not spent.by_key
    (entry,) = audit.entries(project.ledger)
    assert (entry.action, entry.actor, entry.subject) == ("playground", "local", one)
    assert entry.details == {"against": [two]} and "kettle" not in str(entry)
    assert len(engines()) == 1, "the second release took the place of the first"


def test_a_release_that_serves_answers_in_its_own_engine(
    project: Project, playground: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = add_release(project)
    record = project.ledger.get(name).record
    handle = start_engine(
        record,  # type: ignore[arg-type]
        release_name=name,
        artifact=project.artifacts.path(record.model),  # type: ignore[attr-defined]
        run_dir=project.places.run,
        log_dir=project.places.logs,
        config=ServingConfig(),
        owned=True,
    )
    try:
        wait_ready(handle, record, timeout_s=60)  # type: ignore[arg-type]
        monkeypatch.setattr(SpareEngine, "url", lambda *_: pytest.fail("a second engine"))
        left, right = playground.answers((name, name), ASKED)
        assert left == right and left.text
        assert playground.choices()[0].place == "runs"
    finally:
        stop_engine(handle, grace_s=5)


def test_live_and_canary_stand_first_and_say_what_they_are(project: Project, playground: Playground) -> None:
    live, canary, newest = (add_release(project, system_prompt=text) for text in ("a", "b", "c"))
    with project.ledger.begin() as connection:
        move_pointer(connection, "shop", "shop", release=live, deployment="d")
        project.ledger.append(deployment_record(strategy="canary", release=canary), connection=connection)
    found = playground.choices()
    assert [(one.name, one.role) for one in found] == [(live, "live"), (canary, "canary"), (newest, "")]
    assert {one.place for one in found} == {"starts"}


def test_a_side_that_fails_says_why_and_the_other_is_shown(project: Project, playground: Playground) -> None:
    gone = add_release(project, kind="openai", flags={"url": "http://127.0.0.1:9"})
    left, right = playground.answers((add_release(project), gone), ASKED)
    assert left.text and not right.text
    assert "127.0.0.1:9" in right.problem and right.cure
    assert summary(project.ledger).by_kind["playground"] == pytest.approx(left.usd)


def test_an_engine_that_does_not_fit_is_not_started(
    project: Project, playground: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise NoRoom("the release needs 9 MB, 1 MB are free", cure="a smaller model")

    monkeypatch.setattr(spare_engine, "require_memory", full)
    (found,) = playground.answers((add_release(project),), ASKED)
    assert "9 MB" in found.problem and not engines()


def test_no_engine_starts_while_a_deployment_starts_its_own(project: Project, playground: Playground) -> None:
    name = add_release(project)
    deployment = deployment_record(release=name)
    project.ledger.append(deployment)
    (found,) = playground.answers((name,), ASKED)
    assert "is starting its engines" in found.problem and not engines()
    with project.ledger.begin() as connection:
        step = Transition(deployment=deployment.id, state="ramping", step=0, evidence={})
        add_transition(connection, "shop", step, epoch=1)
    assert playground.answers((name,), ASKED)[0].text


def test_an_unused_engine_ends(project: Project) -> None:
    name = add_release(project)
    record = project.ledger.get(name).record
    spare = SpareEngine(project, idle_s=0.3)
    url = spare.url(name, record)  # type: ignore[arg-type]
    assert spare.url(name, record) == url and spare.release == name  # type: ignore[arg-type]
    deadline = time.monotonic() + 20
    while engines() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not engines() and spare.release is None


def test_who_may_choose_no_variant_may_try_none(project: Project, playground: Playground) -> None:
    name = add_release(project)
    client = Principal(id="k", name="shop window", role="client")
    with pytest.raises(RefusedError, match="shop window may not choose"):
        playground.answers((name,), ASKED, principal=client)
    with project.ledger.begin() as connection:
        move_pointer(connection, "shop", "shop", release=name, deployment="d")
    elsewhere = Principal(id="k", name="other team", role="admin", routes=("books",))
    with pytest.raises(RefusedError, match="a release of shop"):
        playground.answers((name,), ASKED, principal=elsewhere)
    assert not audit.entries(project.ledger)


def test_a_second_try_is_told_to_wait(project: Project, playground: Playground) -> None:
    name = add_release(project)
    with playground._one, pytest.raises(LockedError, match="under way"):
        playground.answers((name,), ASKED)


@pytest.mark.parametrize(
    ("text", "as_json", "problem"),
    [
        (" ", False, "no input"),
        ("x" * 32_001, False, "32,001 characters"),
        ("[", True, "not JSON"),
        ("[" * 20_000, True, "not JSON"),
        ("{}", True, "no messages"),
        ('[{"role": "boss", "content": "x"}]', True, "'boss'"),
        ('[{"role": "system", "content": "x"}]', True, "no message has the role user"),
        ('[{"role": "user", "content": 5}]', True, "content is a int"),
    ],
)
def test_an_input_that_is_none_is_told(text: str, as_json: bool, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        messages_in(text, as_json=as_json)


def test_lines_for_a_suite_hold_what_was_asked_and_each_different_answer() -> None:
    sides = [Tried(name=letter * 64, text=text) for letter, text in (("a", "refund"), ("b", "delivery"))]
    assert list(suite_cases(ASKED, sides)) == [
        ("a" * 12, '{"text":"where is my kettle","label":"refund"}'),
        ("b" * 12, '{"text":"where is my kettle","label":"delivery"}'),
    ]
    talk = messages_in('[{"role":"system","content":"s"},{"role":"user","content":"u"}]', as_json=True)
    failed = Tried(name="c" * 64, problem="it failed")
    ((whose, line),) = suite_cases(talk, [sides[0], failed])
    assert whose == "a" * 12 and line.endswith('"expected":"refund"}') and '"system"' in line


@pytest.mark.parametrize("typed", ['[{"role": "user"}]', '[{"role": "user", "content": "\\ud800"}]'])
def test_messages_that_no_engine_can_be_asked_are_refused(typed: str) -> None:
    with pytest.raises(InputError):
        messages_in(typed, as_json=True)
