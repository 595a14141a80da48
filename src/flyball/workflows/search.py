"""Search for a better recipe: trials as child processes, ranked by validation rows. I/O: processes, .flyball/search.

A trial's folder is removed when its result is in the study; whatever is killed, no finished trial is lost.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyball.dvc.commands import environment, interrupt
from flyball.errors import ConfigError, FlyballError, InputError
from flyball.evaluation.suite_names import suite_name
from flyball.records import DatasetVersion, name_of
from flyball.records.record_files import read_document
from flyball.settings import FILE, read_yaml, with_kind
from flyball.wiring import Project
from flyball.workflows.build_lock import only_one
from flyball.workflows.run import build
from flyball.workflows.search_space import (
    DECIDES_NOTHING,
    Document,
    Space,
    encoded,
    fitted,
    measured_by,
    recipe_name,
    recipe_settings,
    space_of,
    value_in,
    with_values,
)
from flyball.workflows.search_study import Study, Trial, optuna, study_file
from flyball.workflows.search_trial import Job, TrialResult, job_of, looks_of, read_result

LOOK_S = 0.1
MOST_REPEATS = 20
"""So many recipes in a row that were tried already: there are no others to find."""
MOST_FAILURES = 5

Watch = Callable[[Trial | None, str], None]
"""Called with a trial that has ended, or None and what is being done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many recipes are trained at most, and for how many seconds, earlier runs of the search included."""

    trials: int
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search as it stands."""

    name: str
    suite: str
    measure: str
    direction: str
    trials: tuple[Trial, ...]
    importances: Mapping[str, float]
    ended: str

    @property
    def best(self) -> Trial | None:
        """The best trial; of equals the first."""
        done = [trial for trial in self.trials if trial.value is not None and trial.state == "complete"]
        sign = 1.0 if self.direction == "maximize" else -1.0
        return max(done, key=lambda trial: sign * (trial.value or 0.0), default=None)

    @property
    def as_is(self) -> Trial | None:
        """The trial of flyball.yaml as it was."""
        return next((trial for trial in self.trials if trial.as_is and trial.state == "complete"), None)


@dataclass(kw_only=True)
class _Run:
    """What the loop needs at each trial."""

    project: Project
    name: str
    document: Document
    space: Space
    study: Study
    suite: str
    measure: str
    dataset: str
    budget: Budget
    watch: Watch
    began: float

    @property
    def spent_s(self) -> float:
        """Seconds of the trials of earlier runs, and of this one."""
        return self.began + time.monotonic()

    @property
    def left_s(self) -> float | None:
        return None if self.budget.seconds is None else self.budget.seconds - self.spent_s


def search(project: Project, name: str, *, budget: Budget, watch: Watch, say: Callable[[str], None]) -> Search:
    """Try recipes until the budget is spent; the search as it then stands.

    A search of this name that was begun goes on. ConfigError for fields, ranges, suite or measure that cannot be.
    """
    optuna()
    document = with_kind(read_yaml(project.root / FILE))
    space, (suite, measure) = space_of(project.settings, document), measured_by(project.settings)
    path = study_file(project.places.search, name)
    build(project, stage="dataset", wait=True, say=say)
    dataset = checked_rows(project, suite)
    with only_one(project.places.run / f"search-{name}.lock", what=f"the search {name}", wait=False, say=say):
        study = Study(path, name=name, direction=project.settings.search.direction)
        study.follow(plan_of(project, document, space, suite=suite, measure=measure, dataset=dataset))
        if unfinished := study.redo_unfinished():
            say(f"going on; trial {', '.join(map(str, unfinished))} did not end and is tried again")
        study.begin_with(space.current(document) or {})
        earlier = study.trials()
        for trial in earlier:
            watch(trial, "")
        spent = sum(trial.seconds for trial in earlier)
        run = _Run(
            project=project,
            name=name,
            document=document,
            space=space,
            study=study,
            suite=suite,
            measure=measure,
            dataset=dataset,
            budget=budget,
            watch=watch,
            began=spent - time.monotonic(),
        )
        ended = _until_spent(run)
        return standing(study, name, space=space, ended=ended)


def standing(study: Study, name: str, *, space: Space | None = None, ended: str = "") -> Search:
    """A stored search as it stands."""
    plan = study.plan
    paths = [field.path for field in space.fields] if space else list(plan.get("fields", {}))
    return Search(
        name=name,
        suite=str(plan.get("suite", "")),
        measure=str(plan.get("measure", "")),
        direction=str(plan.get("direction", "")),
        trials=tuple(study.trials()),
        importances=study.importances(paths),
        ended=ended,
    )


def checked_rows(project: Project, suite: str) -> str:
    """The dataset's name; InputError where it holds out no row to choose by."""
    record, _ = read_document(project.places.dataset / "record.json")
    assert isinstance(record, DatasetVersion)
    if suite == "validation" and not any(split.name == "validation" and split.rows for split in record.splits):
        raise InputError(
            "the dataset has no validation rows to choose a recipe by",
            cure="raise data.split.validation, such as 0.1, or name a search.suite of its own",
        )
    return name_of(record)


def plan_of(
    project: Project, document: Document, space: Space, *, suite: str, measure: str, dataset: str
) -> dict[str, Any]:
    """All that must stay the same for trials to compare: how it is drawn, what is measured, and what is not tried."""
    config = project.settings.search
    rest = with_values(document, dict.fromkeys([*(field.path for field in space.fields), *DECIDES_NOTHING]))
    fixed = {key: value_in(rest, key) for key in ("train", "package", "release", "task")}
    return {
        "fields": {path: encoded(values) for path, values in config.fields.items()},
        "suite": suite,
        "measure": measure,
        "direction": config.direction,
        "seed": config.seed,
        "prune": config.prune,
        "max_items": project.settings.evaluate.max_items,
        "rows": dataset,
        "settings of train, package or release": encoded(fixed),
    }


def _until_spent(run: _Run) -> str:
    """Try recipes one after the other; why it ended."""
    repeats = failures = 0
    while True:
        tried = [trial for trial in run.study.trials() if trial.state in ("complete", "pruned", "failed")]
        if len(tried) >= run.budget.trials:
            return f"{run.budget.trials} trials are done"
        if run.left_s is not None and run.left_s <= 0:
            return f"{run.budget.seconds:g} s are over"
        if repeats >= MOST_REPEATS:
            return "every recipe that it finds was tried already"
        if failures >= MOST_FAILURES:
            raise ConfigError(
                f"{failures} recipes in a row failed, the last one: {tried[-1].note}",
                cure="narrow search.fields; `flyball search show` lists the trials",
            )
        ended = _one(run)
        repeats = repeats + 1 if ended.state == "repeated" else 0
        failures = failures + 1 if ended.state == "failed" else 0
        run.watch(ended, "")
        if ended.as_is and ended.state == "failed":
            raise InputError(f"flyball.yaml as it is cannot be measured: {ended.note}", cure="see `flyball run`")


def _one(run: _Run) -> Trial:
    """Draw a recipe, and have it trained and measured, unless an earlier trial did."""
    study = run.study
    trial = study.ask(seed=run.project.settings.search.seed)
    as_is = bool(trial.user_attrs.get("as_is"))
    whole = as_is and run.space.current(run.document) is None
    values = {} if whole else run.space.drawn(trial)
    trial.set_user_attr("values", encoded(values))
    try:
        settings = recipe_settings(run.document, values)
    except FlyballError as error:
        study.fail(trial, TrialResult(error=error.message, cure=error.cure))
        return next(one for one in study.trials() if one.number == trial.number)
    recipe = recipe_name(settings, dataset=run.dataset, measured=(run.suite, run.measure))
    trial.set_user_attr("recipe", recipe)
    earlier = [one for one in study.trials() if one.recipe == recipe and one.number != trial.number]
    same = next((one for one in earlier if one.state in ("complete", "pruned", "failed")), None)
    if same is not None:
        study.repeat(trial, same)
    else:
        _train_and_measure(run, trial, values, recipe, as_is=as_is)
    return next(one for one in study.trials() if one.number == trial.number)


def _train_and_measure(run: _Run, trial: Any, values: Mapping[str, Any], recipe: str, *, as_is: bool) -> None:
    folder = run.project.places.search / run.name / recipe[:16]
    process: subprocess.Popen[bytes] | None = None
    began = time.monotonic()
    if (result := read_result(folder)) is None:  # else we were killed between its end and the study
        document = with_values(run.document, fitted(run.document, values))
        job = Job(
            root=str(run.project.root),
            parent=os.getpid(),
            name=f"search {run.name} trial {trial.number}",
            document=document,
            dataset=run.dataset,
            suite=run.suite,
            measure=run.measure,
        )
        job_of(folder, job)
        process = start(run.project, folder)
        try:
            state = _wait(run, trial, folder, process)
        except BaseException:
            interrupt(process)
            raise
        spent = TrialResult(seconds=round(time.monotonic() - began, 2))
        if state == "pruned":
            run.study.prune(trial, spent)
            shutil.rmtree(folder, ignore_errors=True)
            return
        if state == "stopped":
            run.study.fail(trial, spent, state="stopped")
            run.study.redo(trial.number, trial.params, as_is=as_is)
            return
        said = f"its process ended with {process.returncode}: see {folder / 'log'}"
        result = read_result(folder) or TrialResult(error=said, seconds=spent.seconds)
    if result.value is None:
        run.study.fail(trial, result)
    else:
        run.study.complete(trial, result)
    shutil.rmtree(folder, ignore_errors=True)


def start(project: Project, folder: Path) -> subprocess.Popen[bytes]:
    """The process of a trial; its words go to the folder's log."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "flyball", "trial", str(folder)],
            cwd=project.root,
            env=environment(project),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,  # ctrl-c reaches it once, through us
        )


def _wait(run: _Run, trial: Any, folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Until the trial ends by itself, is pruned, or the time is over."""
    reported: set[int] = set()
    began = time.monotonic()
    while process.poll() is None:
        for look in looks_of(folder):
            if look.tenths not in reported:
                reported.add(look.tenths)
                trial.report(as_value(run, look.loss, look.exact_match), look.tenths)
                if run.project.settings.search.prune and trial.should_prune():
                    interrupt(process)
                    return "pruned"
        if run.left_s is not None and run.left_s <= 0:
            interrupt(process)
            return "stopped"
        left = "" if run.left_s is None else f" · {run.left_s:.0f} s left of the budget"
        run.watch(
            None, f"trial {trial.number} · {max(reported, default=0)}0 % · {time.monotonic() - began:.0f} s{left}"
        )
        time.sleep(LOOK_S)
    return "ended"


def as_value(run: _Run, loss: float, exact_match: float) -> float:
    """How a training validates, as a number in the direction of the search."""
    if run.project.settings.search.direction == "minimize":
        return loss
    return exact_match if run.project.settings.task == "classification" else -loss


def suite_measure(found: Search) -> str:
    """What trials are ranked by, in words."""
    return f"{suite_name(found.suite)}.{found.measure}"


def best_values(found: Search, document: Document) -> dict[str, Any]:
    """What the best recipe changes in flyball.yaml, by path; nothing where flyball.yaml is the best."""
    if found.best is None or found.best.as_is:
        return {}
    wanted = fitted(document, found.best.values)
    return {path: value for path, value in wanted.items() if value_in(document, path) != value}


def shown_values(values: Mapping[str, Any], paths: Sequence[str] = ()) -> str:
    """Values for people, the names without their section where that is plain."""
    short = {path: path.rpartition(".")[2] for path in (*paths, *values)}
    return "  ".join(
        f"{short[path]} {value if isinstance(value, str) else encoded(value)}" for path, value in values.items()
    )
