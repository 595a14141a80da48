"""The recipes that a search may try: fields of flyball.yaml with their values, checked, and one recipe drawn. Pure."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from flyball.engines.catalog import DEFAULT, LINEAR
from flyball.errors import ConfigError, InputError
from flyball.evaluation.config import known_measures, suite_kind
from flyball.evaluation.measure_names import ALWAYS, BRIER, LATENCIES
from flyball.evaluation.suite_names import suite_name
from flyball.records.canonical import fingerprint_of
from flyball.settings import FILE, Settings, parse, parse_settings
from flyball.training.config import READ_BY
from flyball.training.search_config import RangeConfig

SECTIONS = ("train", "package", "release")
DECIDES_NOTHING = ("train.threads", "train.checkpoint_every_s", "train.tracking")
METHOD, ENGINE = "train.method", "release.engine"
LESS_IS_BETTER = (BRIER, *LATENCIES, *ALWAYS)
SOURCE = f"search.fields in {FILE}"
Document = Mapping[str, Any]
Values = Mapping[str, Any]
"""Values by the path of their field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field that is tried: `choices`, or the numbers of a range, whole ones where `whole`."""

    path: str
    choices: tuple[Any, ...] = ()
    range: RangeConfig | None = None
    whole: bool = False

    @property
    def samples(self) -> tuple[Any, ...]:
        """Values that have to be allowed: each choice, or both ends."""
        return self.choices if self.range is None else (self.range.low, self.range.high)

    def holds(self, value: Any) -> bool:
        """Whether the search could try this value."""
        if self.range is None:
            return value in self.choices
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.range.low <= value <= self.range.high:
            return False
        return self.range.step is None or (value - self.range.low) % self.range.step == 0

    def stored(self, value: Any) -> Any:
        """A value as the study stores it: choices as JSON text, since it takes no lists and sections."""
        return value if self.range is not None else encoded(value)

    def drawn(self, trial: Any) -> Any:
        """What an Optuna trial tries here."""
        if self.range is None:
            texts = [self.stored(choice) for choice in self.choices]
            return msgspec.json.decode(trial.suggest_categorical(self.path, texts))
        low, high, log, step = self.range.low, self.range.high, self.range.log, self.range.step
        if self.whole:
            return trial.suggest_int(self.path, int(low), int(high), step=int(step or 1), log=log)
        return significant(trial.suggest_float(self.path, float(low), float(high), step=step, log=log))


def encoded(value: Any) -> str:
    """A value as JSON text: how a study names a choice."""
    return msgspec.json.encode(value, order="deterministic").decode()


def significant(value: float) -> float:
    """Four digits: the rest changes no result, and nobody wants to copy it."""
    return float(f"{value:.4g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """All fields of a search, and the method where it is not one of them."""

    fields: tuple[Field, ...]
    method: str

    def drawn(self, trial: Any) -> dict[str, Any]:
        """The values of one trial; a field that its method does not read is left alone."""
        method_field = next((field for field in self.fields if field.path == METHOD), None)
        values = {METHOD: method_field.drawn(trial)} if method_field else {}
        method = values.get(METHOD, self.method)
        others = (field for field in self.fields if field.path != METHOD and is_read(field.path, method))
        return values | {field.path: field.drawn(trial) for field in others}

    def current(self, document: Document) -> dict[str, Any] | None:
        """What flyball.yaml has in these fields, as the study stores it; None where that is not among what is tried."""
        found: dict[str, Any] = {}
        for field in self.fields:
            if is_read(field.path, self.method):
                value = value_in(document, field.path)
                if not field.holds(value):
                    return None
                found[field.path] = field.stored(value)
        return found


def space_of(settings: Settings, document: Document) -> Space:
    """The fields to try; ConfigError names the one that is unknown, empty, not allowed or read by no method."""
    asked = settings.search.fields
    if not asked:
        raise ConfigError(
            f"there is nothing to search: {SOURCE} is missing",
            cure="add search: {fields: {train.learning_rate: {low: 1e-4, high: 1e-2, log: true}}}",
        )
    listed = asked.get(METHOD)
    if isinstance(listed, RangeConfig):
        raise ConfigError(f"{SOURCE}: {METHOD} is a range", cure="list the methods, such as [scratch, lora]")
    methods = tuple(listed) if listed else (settings.train.method,)
    fields = tuple(_field(path, values, methods, document) for path, values in asked.items())
    return Space(fields=fields, method=settings.train.method)


def _field(path: str, values: RangeConfig | Sequence[Any], methods: Sequence[str], document: Document) -> Field:
    section = path.partition(".")[0]
    if section not in SECTIONS or "." not in path or path in DECIDES_NOTHING:
        raise ConfigError(
            f"{SOURCE}: {path} is no field of a recipe",
            cure=f"name a field of {', '.join(SECTIONS)}, such as train.learning_rate",
        )
    made = Field(path=path, range=values) if isinstance(values, RangeConfig) else Field(path=path, choices=(*values,))
    _check_values(made)
    for value in made.samples:  # first, so that a name that nobody knows is told as one
        parse(with_values(document, {path: value}), Settings, source=SOURCE)
    if not any(is_read(path, method) for method in methods):
        raise ConfigError(
            f"{SOURCE}: {path} changes nothing with {METHOD} {', '.join(methods)}",
            cure=f"leave it out, or search {METHOD} too",
        )
    return replace(made, whole=_is_whole(made, document))


def _check_values(field: Field) -> None:
    if field.range is None:
        if not field.choices:
            raise ConfigError(f"{SOURCE}: {field.path} has no values", cure="list some, or leave it out")
        return
    low, high, log, step = field.range.low, field.range.high, field.range.log, field.range.step
    where = f"{SOURCE}: {field.path}"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{where} goes from {low:g} to {high:g}", cure="give finite numbers")
    if low > high:
        raise ConfigError(f"{where} has low {low:g}, above high {high:g}", cure="swap them")
    if low == high:
        raise ConfigError(f"{where} has low and high {low:g}: that is one value", cure=f"set it in {FILE} instead")
    if log and low <= 0:
        raise ConfigError(f"{where} has low {low:g} and log: true", cure="give a low above 0, or leave log out")
    if step is not None and (step <= 0 or step > high - low or log):
        raise ConfigError(
            f"{where} has step {step:g}{' and log: true' if log else ''}",
            cure="give a step above 0 that fits into the range, and no log with it",
        )


def _is_whole(field: Field, document: Document) -> bool:
    """Whether the field takes whole numbers alone; ConfigError where it takes none, or the range has others."""
    if field.range is None:
        return False
    low, high, step = field.range.low, field.range.high, field.range.step
    between = low + (high - low) * 0.4142
    try:
        parse(with_values(document, {field.path: between}), Settings, source=SOURCE)
        return False
    except ConfigError:
        if any(isinstance(one, float) and one != int(one) for one in (low, high, step) if one is not None):
            raise
        return True


def is_read(path: str, method: str) -> bool:
    """Whether a field decides anything of a model of this method, or of how it is asked."""
    section, _, rest = path.partition(".")
    if section == "package":
        return method not in ("linear", "none")
    if section == "release" or path == METHOD:
        return True
    return any(rest == known or rest.startswith(f"{known}.") for known in READ_BY[method])


def value_in(document: Any, path: str) -> Any:
    """The value of a field in plain data; None where it is not there."""
    for key in path.split("."):
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def with_values(document: Document, values: Values) -> dict[str, Any]:
    """A copy of the document with these values."""
    made: dict[str, Any] = copy.deepcopy(dict(document))
    for path, value in values.items():
        *sections, key = path.split(".")
        place = made
        for section in sections:
            inner = place.get(section)
            place[section] = place = dict(inner) if isinstance(inner, Mapping) else {}
        place[key] = value
    return made


def fitted(document: Document, values: Values) -> dict[str, Any]:
    """The values, and with a method that another engine serves, that engine."""
    method = values.get(METHOD)
    kind = (value_in(document, f"{ENGINE}.kind") or DEFAULT.name) if method else None
    if method == "linear" and kind != LINEAR.name:
        return {**values, ENGINE: {"kind": LINEAR.name}}
    if method not in (None, "linear") and kind == LINEAR.name:
        return {**values, ENGINE: {"kind": DEFAULT.name}}
    return dict(values)


def recipe_name(settings: Settings, *, dataset: str, measured: Sequence[str]) -> str:
    """The name of all that decides a trial's value: two trials of one name are one."""
    train = dict(_leaves("train", msgspec.to_builtins(settings.train)))
    method = settings.train.method
    read = {path: value for path, value in train.items() if is_read(path, method)}
    package = msgspec.to_builtins(settings.package) if is_read("package.quantization", method) else None
    release = encoded(msgspec.to_builtins(settings.release))
    return fingerprint_of([dataset, list(measured), encoded(read), encoded(package), release])


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner)
    else:
        yield path, value


def measured_by(settings: Settings) -> tuple[str, str]:
    """(suite, measure) that trials are ranked by; ConfigError for a suite of the gate, or a measure that it lacks."""
    config = settings.search
    labelled = settings.task == "classification"
    if config.suite in settings.evaluate.suites or config.suite in ("test", "invariance", "counterfactual"):
        raise ConfigError(
            f"search.suite is {config.suite}, which the gate decides on: what chose the recipe proves nothing of it",
            cure="leave it out (validation rows), or name a suite that is not in evaluate.suites",
        )
    try:
        kind = suite_kind(config.suite)
    except InputError as error:
        raise ConfigError(f"search.suite: {error.message}", cure=error.cure) from error
    known = known_measures(kind, classification=labelled)
    measure = config.measure or ("exact_match" if labelled else "chrf")
    if measure not in known:
        raise ConfigError(
            f"search.measure is {measure}, which the suite {suite_name(config.suite)} does not measure",
            cure=f"name one of {', '.join(dict.fromkeys(known))}",
        )
    if measure in LESS_IS_BETTER and config.direction == "maximize":
        raise ConfigError(
            f"search.measure is {measure}, of which less is better, and search.direction is maximize",
            cure="set search.direction: minimize",
        )
    return config.suite, measure


def recipe_settings(document: Document, values: Values) -> Settings:
    """The settings of one trial; ConfigError for values that do not go together."""
    return parse_settings(with_values(document, fitted(document, values)), source="this recipe")
