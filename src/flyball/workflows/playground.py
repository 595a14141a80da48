"""Two releases answer one input, to be read beside each other. I/O: engines, ledger.

Each goes its production prompt path, to the engine that serves it, the server that it names, or the spare engine. None
of it is traffic: no request is recorded, nothing is sampled, no rollout counts it and no key is charged. The audit log
says that it happened, without the text; what it costs is booked to the project as `playground`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from flyball.cost.charges import charge
from flyball.cost.prices import request_usd
from flyball.engines.catalog import is_elsewhere, kind_of
from flyball.errors import FlyballError, InputError, LockedError, RefusedError
from flyball.inference.completions import HttpCompleter
from flyball.inference.messages import last_user_text, messages_of
from flyball.records import JSON, Deployment, Release
from flyball.records.identity import short
from flyball.security import audit
from flyball.security.permissions import may
from flyball.security.principals import LOCAL, Principal
from flyball.serving.engine_processes import running_engines
from flyball.storage.deployments import open_deployments, pointer, routes
from flyball.wiring import Project
from flyball.workflows.engine_terms import EngineTerms
from flyball.workflows.release_diff import release_named
from flyball.workflows.spare_engine import SpareEngine

MOST_CHARACTERS = 32_000
RELEASES_SHOWN = 50
TIMEOUT_S = 120.0
Place = Literal["runs", "elsewhere", "starts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A release that can be tried: what it is on which route, if anything, and where it would answer."""

    name: str
    role: str = ""  # live, canary, shadow or ab
    route: str | None = None
    place: Place = "starts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One side: its answer with what it took, or why there is none."""

    name: str
    text: str = ""
    finish_reason: str = ""
    total_ms: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    log_probability: float | None = None
    unknown: str = ""
    is_label: bool = False
    problem: str = ""
    cure: str = ""


class Playground:
    """Tries releases of one project, one try at a time."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._spare = SpareEngine(project)
        self._one = threading.Lock()

    def choices(self, *also: str) -> tuple[Choice, ...]:
        """Live releases, then those of rollouts under way, then others, newest first; and those named in `also`."""
        ledger = self._project.ledger
        used: dict[str, tuple[str, str | None]] = {}
        for route in routes(ledger):
            if (live := pointer(ledger, route)) and live.live_release:
                used.setdefault(live.live_release, ("live", route))
        for stored in open_deployments(ledger):
            assert isinstance(stored.record, Deployment)
            used.setdefault(stored.record.release, (stored.record.strategy, stored.record.route))
        records = {name: release_named(ledger, name) for name in used}
        records |= {stored.id: stored for stored in ledger.find(Release, limit=RELEASES_SHOWN)}
        records |= {stored.id: stored for stored in (release_named(ledger, name) for name in also if name)}
        ready = {one.release for one in running_engines(self._project.places.run) if one.ready}
        ready.add(self._spare.release or "")
        found = []
        for name, stored in records.items():
            assert isinstance(stored.record, Release)
            role, at = used.get(name, ("", None))
            place: Place = "runs" if name in ready else "elsewhere" if is_elsewhere(stored.record) else "starts"
            found.append(Choice(name=name, role=role, route=at, place=place))
        return tuple(found)

    def answers(
        self, names: Sequence[str], messages: Sequence[Mapping[str, JSON]], *, principal: Principal = LOCAL
    ) -> tuple[Tried, ...]:
        """What each release answers, one after the other, so that neither slows the other down."""
        choices = {choice.name: choice for choice in self.choices(*names)}
        found = [release_named(self._project.ledger, name) for name in names]
        for stored in found:
            route = choices[stored.id].route
            if not may(principal, "choose_variant", route):
                raise RefusedError(
                    f"{principal.name} may not choose a release of {route or 'this project'}",
                    cure="an admin's key may: flyball key create --role admin",
                )
        if not self._one.acquire(blocking=False):
            raise LockedError("another try is under way", cure="try again when it has answered")
        try:
            audit.record(
                self._project.ledger,
                actor=principal.id,
                action="playground",
                subject=found[0].id,
                details={"against": [stored.id for stored in found[1:]]},
            )
            unique = dict.fromkeys(stored.id for stored in found)
            records = {stored.id: stored.record for stored in found}
            made = {name: self._try(name, records[name], messages) for name in unique}
            return tuple(made[stored.id] for stored in found)
        finally:
            self._one.release()

    def close(self) -> None:
        """End the engine that it started."""
        self._spare.end()

    def _try(self, name: str, release: object, messages: Sequence[Mapping[str, JSON]]) -> Tried:
        assert isinstance(release, Release)
        try:
            tried = self._ask(name, release, {"messages": list(messages)})
        except FlyballError as error:
            return Tried(name=name, problem=error.message, cure=error.cure)
        if tried.usd:
            charge(self._project.ledger, kind="playground", subject=name, usd=tried.usd, quantity=1.0)
        return tried

    def _ask(self, name: str, release: Release, body: Mapping[str, JSON]) -> Tried:
        terms = EngineTerms(self._project)
        completer = HttpCompleter(
            self._url(name, release),
            release=release,
            model=self._project.name,
            way=terms.way(name, release),
            timeout_s=TIMEOUT_S,
            probabilities=True,
        )
        try:
            answer = completer.complete(body)
        finally:
            completer.close()
        usd = request_usd(
            self._project.settings.cost,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            own=terms.of(name, release).usd_per_million,
        )
        return Tried(
            name=name,
            text=answer.text.encode("utf-8", "replace").decode(),  # no half of a surrogate pair is shown or kept
            finish_reason=answer.finish_reason,
            total_ms=answer.total_ms,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            usd=usd,
            log_probability=answer.log_probability,
            unknown=answer.unknown,
            is_label=release.constraint.kind == "labels",
        )

    def _url(self, name: str, release: Release) -> str:
        running = (one.url for one in running_engines(self._project.places.run) if one.release == name and one.ready)
        if (url := next(running, None)) is not None:
            return url
        if is_elsewhere(release):
            return kind_of(release).server(release.engine).url
        return self._spare.url(name, release)


def messages_in(text: str, *, as_json: bool) -> tuple[Mapping[str, JSON], ...]:
    """What was typed as messages: a user's text, or a JSON list of them; InputError says what is wrong."""
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"the input has {len(text):,} characters", cure=f"at most {MOST_CHARACTERS:,} are tried")
    if not text.strip():
        raise InputError("there is no input", cure="write what a user would ask")
    if not as_json:
        return ({"role": "user", "content": text},)
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        cure = 'write [{"role": "user", "content": "…"}]'
        raise InputError(f"the messages are not JSON: {error}", cure=cure) from error
    messages = messages_of({"messages": found})
    if not last_user_text(messages).strip():
        raise InputError("the last message of the user is empty", cure="write what a user would ask")
    try:
        msgspec.json.encode(messages)
    except UnicodeEncodeError as error:
        raise InputError("a message has half of a surrogate pair", cure="write that character whole") from error
    return tuple(messages)


def suite_cases(messages: Sequence[Mapping[str, JSON]], answers: Sequence[Tried]) -> Iterator[tuple[str, str]]:
    """For each different answer: whose it is, and the line of a suite that expects it."""
    texts: dict[str, list[str]] = {}
    for one in answers:
        if not one.problem:
            texts.setdefault(one.text, []).append(short(one.name))
    for text, names in texts.items():
        only = len(messages) == 1 and isinstance(messages[0].get("content"), str)
        asked = {"text": messages[0]["content"]} if only else {"messages": list(messages)}
        line = {**asked, "label" if only else "expected": text}
        yield " and ".join(dict.fromkeys(names)), msgspec.json.encode(line).decode()
