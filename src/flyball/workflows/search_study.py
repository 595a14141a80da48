"""The study of a search in SQLite: what was tried, what came of it, what is to be done again. I/O: .flyball/search."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from flyball.errors import ConfigError, CorruptionError, EnvironmentMissing, InputError, NotFoundError
from flyball.workflows.search_space import encoded
from flyball.workflows.search_trial import TrialResult

State = Literal["complete", "repeated", "pruned", "failed", "stopped", "running"]
STARTUP_TRIALS = 5
"""So many recipes are drawn at random before the sampler learns from them, and before any training is ended early."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial: the values that it tried (none: flyball.yaml as it was), and what came of it."""

    number: int
    values: Mapping[str, Any]
    state: State
    value: float | None
    lower: float | None
    upper: float | None
    n: int
    seconds: float
    note: str
    recipe: str
    as_is: bool


def study_file(folder: Path, name: str) -> Path:
    """Where a search is stored; InputError for a name that is none."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a search", cure="use letters, digits, - and _")
    return folder / f"{name}.db"


def optuna() -> Any:
    """Optuna, silent; EnvironmentMissing names the extra that brings it."""
    try:
        import optuna as library  # .3 s, and in the `search` extra only
    except ImportError as error:
        raise EnvironmentMissing("Optuna is not installed", cure='pip install "flyball[search]"') from error
    library.logging.set_verbosity(library.logging.ERROR)
    return library


def _storage(path: Path) -> Any:
    return optuna().storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})


class Study:
    """A stored study; every change is on disk when the call returns."""

    def __init__(self, path: Path, *, name: str, direction: str) -> None:
        library = optuna()
        self._library, self.path = library, path
        if not path.exists():  # beside its place first: one that is cut short, or looked at meanwhile, is no study
            path.parent.mkdir(parents=True, exist_ok=True)
            beginning = path.with_name(f".{path.name}.new")
            beginning.unlink(missing_ok=True)
            library.create_study(storage=_storage(beginning), study_name=name, direction=direction)
            beginning.replace(path)
        pruner = library.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=2)
        try:
            self._study = library.load_study(storage=_storage(path), study_name=name, pruner=pruner)
        except Exception as error:  # SQLAlchemy's and Optuna's own, of a file that is no study
            raise CorruptionError(f"{path} cannot be read: {error}", cure="remove it and search again") from error

    def follow(self, plan: Mapping[str, Any]) -> None:
        """Keep what the study is about; ConfigError where it was begun for something else."""
        told, asked = self._study.user_attrs.get("plan"), msgspec.json.decode(encoded(plan))
        if told is None:
            self._study.set_user_attr("plan", asked)
        elif told != asked:
            changed = [key for key in asked if told.get(key) != asked[key]]
            raise ConfigError(
                f"the search {self.path.stem} was begun with other {', '.join(changed)}, so that its trials do not "
                "compare",
                cure=f"give another --name, or remove {self.path}",
            )

    @property
    def plan(self) -> Mapping[str, Any]:
        """What the study is about; empty before its first trial."""
        found: Mapping[str, Any] = self._study.user_attrs.get("plan") or {}
        return found

    def trials(self) -> list[Trial]:
        """All that were begun, in order."""
        states = self._library.trial.TrialState
        return [_trial(one) for one in self._study.trials if one.state != states.WAITING]

    def redo_unfinished(self) -> list[int]:
        """Mark the trials that a kill left running, and have their recipes tried again; their numbers."""
        states = self._library.trial.TrialState
        left = [one for one in self._study.trials if one.state == states.RUNNING]
        for one in left:
            self.redo(one.number, one.params, as_is=bool(one.user_attrs.get("as_is")))
            self._study.tell(one.number, state=states.FAIL)
        return [one.number for one in left]

    def redo(self, number: int, params: Mapping[str, Any], *, as_is: bool) -> None:
        """Try these parameters next."""
        self._study.enqueue_trial(dict(params), user_attrs={"as_is": as_is, "again": number})

    def begin_with(self, params: Mapping[str, Any]) -> None:
        """Try flyball.yaml as it is first: with it everything is compared."""
        if not self._study.trials:
            self._study.enqueue_trial(dict(params), user_attrs={"as_is": True})

    def ask(self, *, seed: int) -> Any:
        """A new trial; what it draws depends on the seed and on what is finished, not on when it was interrupted."""
        states = self._library.trial.TrialState
        finished = sum(one.state in (states.COMPLETE, states.PRUNED) for one in self._study.trials)
        self._study.sampler = self._library.samplers.TPESampler(
            seed=seed * 100_003 + finished, n_startup_trials=STARTUP_TRIALS
        )
        return self._study.ask()

    def complete(self, trial: Any, result: TrialResult) -> None:
        """The trial has its value."""
        _note(trial, result)
        self._study.tell(trial, result.value)

    def repeat(self, trial: Any, of: Trial) -> None:
        """The same recipe as an earlier trial, which is not trained again."""
        trial.set_user_attr("repeats", of.number)
        trial.set_user_attr("note", f"the recipe of trial {of.number}")
        states = self._library.trial.TrialState
        if of.value is None:
            self._study.tell(trial, state=states.FAIL)
        else:
            self._study.tell(trial, of.value)

    def prune(self, trial: Any, result: TrialResult) -> None:
        """The training was ended early."""
        _note(trial, result)
        self._study.tell(trial, state=self._library.trial.TrialState.PRUNED)

    def fail(self, trial: Any, result: TrialResult, *, state: State = "failed") -> None:
        """The trial has no value: the recipe failed, or it was stopped."""
        trial.set_user_attr("state", state)
        _note(trial, result)
        self._study.tell(trial, state=self._library.trial.TrialState.FAIL)

    def importances(self, paths: Sequence[str]) -> dict[str, float]:
        """The share of the differences that each field explains (fANOVA over finished trials), the largest first.

        Empty where too few trials tell: each field needs two values among four trials.
        """
        states = self._library.trial.TrialState
        done = [one for one in self._study.get_trials(states=(states.COMPLETE,)) if one.params]
        common = [path for path in paths if len({str(one.params.get(path)) for one in done}) > 1]
        common = [path for path in common if all(path in one.params for one in done)]
        if len(done) < 4 or not common or len({one.value for one in done}) < 2:
            return {}
        evaluator = self._library.importance.FanovaImportanceEvaluator(seed=0)
        found = self._library.importance.get_param_importances(self._study, evaluator=evaluator, params=common)
        return {name: float(share) for name, share in found.items()}


def _note(trial: Any, result: TrialResult) -> None:
    for key in ("lower", "upper", "n", "seconds", "peak_mb"):
        trial.set_user_attr(key, getattr(result, key))
    if result.error:
        trial.set_user_attr("note", result.error)


def _trial(stored: Any) -> Trial:
    attrs, state = stored.user_attrs, stored.state.name
    known: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "RUNNING": "running"}
    told: State = known.get(state, attrs.get("state", "stopped"))
    return Trial(
        number=stored.number,
        values=msgspec.json.decode(attrs["values"]) if "values" in attrs else {},
        state="repeated" if "repeats" in attrs else told,
        value=stored.value if state == "COMPLETE" else None,
        lower=attrs.get("lower"),
        upper=attrs.get("upper"),
        n=attrs.get("n", 0),
        seconds=attrs.get("seconds", 0.0),
        note=attrs.get("note", "interrupted; tried again" if told == "stopped" else ""),
        recipe=attrs.get("recipe", ""),
        as_is=bool(attrs.get("as_is")),
    )


def existing_study(folder: Path, name: str) -> Study:
    """A search that was begun; NotFoundError for one that was not."""
    path = study_file(folder, name)
    if not path.is_file():
        others = sorted(one.stem for one in folder.glob("*.db")) if folder.is_dir() else []
        cure = f"there are {', '.join(others)}" if others else "run `flyball search` first"
        raise NotFoundError(f"no search is called {name}", cure=cure)
    return Study(path, name=name, direction="maximize")
