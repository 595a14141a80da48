"""CheckList: behaviour tests (MFT, INV, DIR) from a YAML file of templates, word lists and edits. I/O: reads the file.

Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList", ACL. A minimum functionality
test (MFT) expects an answer; an invariance test (INV) the same answer after an edit; a directional test (DIR) one that
goes up, goes down or changes. Cases of one text or template are a cluster.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import yaml
from msgspec import Meta

from flyball.errors import InputError, NotFoundError, nearest
from flyball.evaluation.suites.checklist_files import asked, is_folder, load_folder
from flyball.evaluation.suites.checklist_predictions import load_predictions
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.lexicons import BY_LOCALE
from flyball.evaluation.suites.rewrites import KEEPING, TURNING, Edit
from flyball.evaluation.suites.suite import Item, Suite
from flyball.evaluation.suites.templates import SEED, Filled, filled, places_of, words_for
from flyball.records import canonical_json
from flyball.records.yaml_documents import load_yaml

SHAPE: Final = """tests:
    - {name: simple, capability: vocabulary, type: MFT, templates: ["I like {food}."], expect: positive}
    - {name: typos, capability: robustness, type: INV, texts: ["Where is it?"], edits: [typo]}"""
Words = tuple[str, ...]


class Test(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One test: its texts, what is done to them, and what is expected."""

    name: str
    capability: str
    type: Literal["MFT", "INV", "DIR"]
    templates: Words = ()
    texts: Words = ()
    expect: str | None = None
    direction: Literal["up", "down", "changes"] | None = None
    edits: Words = ()
    add: Words = ()
    replace: dict[str, str] = {}
    vary: str | None = None
    locales: Words = ("en",)
    samples: Annotated[int, Meta(ge=1, le=100_000)] = 100


class Checklist(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: tests, word lists of its own, the labels (lowest first, for directions) and how each text is asked."""

    tests: list[Test]
    lexicons: dict[str, Words] = {}
    labels: Words = ()
    prompt: str = "{text}"
    system: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A text before any edit."""

    text: str
    source: str
    locale: str | None = None
    made: Filled | None = None


def load(path: Path, name: str) -> Suite:
    """Every case of a file's tests, each named by the hash of its test and its texts; or of a folder of CheckList's."""
    place, _, predictions = path.name.partition("?")
    if predictions and is_folder(path.with_name(place)):
        return load_predictions(path.with_name(place), predictions, name)
    if is_folder(path):
        return load_folder(path, name)
    checks = read(path)
    items: dict[str, Item] = {}
    for test in checks.tests:
        source = f"{path}: test {test.name!r}"
        check(test, checks, source)
        before = len(items)
        items |= {item.id: item for item in cases_of(test, checks, source)}
        if len(items) == before:
            raise InputError(f"{source} makes no case", cure="give texts that its edits apply to")
    return Suite(name=name, kind="checklist", items=tuple(items.values()))


def read(path: Path) -> Checklist:
    """The file; InputError says what in it is not understood."""
    if not path.is_file():
        raise NotFoundError(f"no file of behaviour tests {path}", cure=f"write one such as\n    {SHAPE}")
    try:
        checks = msgspec.convert(load_yaml(path.read_text(encoding="utf-8")), Checklist)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}", cure="fix the line that it names") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}", cure=f"write it such as\n    {SHAPE}") from error
    names = [test.name for test in checks.tests]
    if not names or len(set(names)) < len(names):
        twice = next((name for name in names if names.count(name) > 1), None)
        problem = f"two tests are called {twice!r}" if twice else "it has no tests"
        raise InputError(f"{path}: {problem}", cure=f"write it such as\n    {SHAPE}")
    if "{text}" not in checks.prompt:
        raise InputError(f"{path}: prompt has no {{text}}", cure="put {text} where the text of a case belongs")
    return checks


def check(test: Test, checks: Checklist, source: str) -> None:
    """InputError where a test lacks what its type needs."""
    changes = bool(test.edits or test.add or test.replace or test.vary)
    known = {**KEEPING, **TURNING} if test.type == "DIR" else KEEPING
    unknown = next((edit for edit in test.edits if edit not in known), None)
    locale = next((locale for locale in test.locales if locale not in BY_LOCALE), None)
    wrong: Mapping[str, bool] = {
        "no templates and no texts": not (test.templates or test.texts),
        "no expect, which an MFT needs": test.type == "MFT" and not test.expect,
        "expect, which only an MFT has": test.type != "MFT" and test.expect is not None,
        "edits, add, replace or vary, which an MFT has not": test.type == "MFT" and changes,
        "none of edits, add, replace and vary": test.type != "MFT" and not changes,
        "no direction (up, down or changes), which a DIR needs": test.type == "DIR" and test.direction is None,
        "a direction, which only a DIR has": test.type != "DIR" and test.direction is not None,
        "a direction, but the file has no labels": test.direction is not None and len(checks.labels) < 2,
        "no locales": not test.locales,
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise InputError(f"{source} has {what}", cure=f"write it such as\n    {SHAPE}")
    if unknown is not None:
        raise InputError(f"{source}: no edit of a {test.type} is called {unknown}", cure=f"use {', '.join(known)}")
    if locale is not None:
        raise InputError(f"{source}: no names of the locale {locale!r}", cure=f"use {', '.join(BY_LOCALE)}")
    if checks.labels and test.expect is not None and test.expect not in checks.labels:
        close = nearest(test.expect, list(checks.labels))
        hint = f"did you mean {close}?" if close else f"use one of {', '.join(checks.labels)}"
        raise InputError(f"{source} expects {test.expect!r}, which is none of the labels", cure=hint)
    if test.vary and not all(test.vary in places_of(template) for template in test.templates or ("",)):
        raise InputError(f"{source} varies {test.vary}, which is not in each template", cure=f"write {{{test.vary}}}")


def cases_of(test: Test, checks: Checklist, source: str) -> Iterator[Item]:
    """The cases of one test."""
    for base in bases_of(test, checks, source):
        if test.type == "MFT":
            yield case(test, checks, base, base.text, None)
            continue
        for edit, text in changed(test, checks, base, source):
            if text != base.text:
                yield case(test, checks, base, text, edit)


def bases_of(test: Test, checks: Checklist, source: str) -> Iterator[Base]:
    """The texts of a test: its own, and those of its templates, a share of `samples` for each template and locale."""
    yield from (Base(text=text, source=text) for text in test.texts)
    most = -(-test.samples // max(1, len(test.templates) * len(test.locales)))
    for template in test.templates:
        named = set(places_of(template).values()) - set(checks.lexicons)
        local = bool(named & BY_LOCALE["en"].keys())
        for locale in test.locales if local else test.locales[:1]:
            for made in filled(template, {**BY_LOCALE[locale], **checks.lexicons}, most, source):
                yield Base(text=made.text, source=template, locale=locale if local else None, made=made)


def changed(test: Test, checks: Checklist, base: Base, source: str) -> Iterator[tuple[str, str]]:
    """(what was done, the text after it), once for each change that applies."""
    dice = random.Random(f"{SEED}:{test.name}:{base.text}")
    known: Mapping[str, Edit] = {**KEEPING, **TURNING}
    for name in test.edits:
        if (text := known[name](base.text, dice)) is not None:
            yield name, text
    yield from (("add", f"{base.text} {more}") for more in test.add)
    yield from (("replace", base.text.replace(old, new)) for old, new in test.replace.items())
    if test.vary and base.made:
        lists: Mapping[str, Sequence[str]] = {**BY_LOCALE[base.locale or "en"], **checks.lexicons}
        words = words_for(test.vary, places_of(base.made.template)[test.vary], lists, source)
        others = [word for word in words if word not in base.made.words.values()]
        if others:
            yield "vary", base.made.with_word(test.vary, dice.choice(others))


def case(test: Test, checks: Checklist, base: Base, text: str, edit: str | None) -> Item:
    """One case: the text, and for an edited one the text before."""
    groups = {
        "capability": test.capability,
        "type": test.type,
        "cell": f"{test.capability} · {test.type}",
        **({"edit": edit} if edit else {}),
        **({"locale": base.locale} if base.locale else {}),
    }
    name = hashlib.sha256(canonical_json([test.name, base.text, text])).hexdigest()[:32]
    return Item(
        id=name,
        messages=asked(checks.prompt, checks.system, text),
        original=asked(checks.prompt, checks.system, base.text) if edit else None,
        expected=test.expect,
        slice=test.name,
        groups=groups,
        cluster=f"{test.name}: {base.source}",
        data={"type": test.type, "labels": list(checks.labels), "direction": test.direction},
    )


FAMILY = SuiteFamily(
    name="checklist", kind="checklist", load=load, about="Behaviour tests (MFT, INV, DIR) from templates in YAML."
)
