"""`flyball init`: a new project, one in an existing repository, or one guessed from a file. I/O: writes a project.

Also what a build needs first in a project that came without it, such as an example of a cloned repository.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flyball.errors import InputError, NotFoundError
from flyball.settings import FILE, load_settings
from flyball.wiring import Project
from flyball.workflows.pipeline import check_sources, is_ours, lock_entries, sync
from flyball.workflows.repositories import check_programs, git_top, has_dvc, prepare_repository

SAMPLE = "tickets.jsonl"
IGNORED = ("/.flyball/",)

TEMPLATE = """\
# The whole loop of this project. Every key: `flyball schema`. Editors can check it against that schema.
version: 1
project: {project}           # also the route: the `model` that clients name
task: {task}

data:
  sources:
    - path: {path}
      fields:
{fields}
  redact: {{profile: default}}    # e-mail, phone, card, … become <TYPE>; the release does the same to what users send
  dedupe: {{near: 0.8}}           # Jaccard similarity of word 3-grams
  split: {{validation: 0.05, test: 0.15}}   # by hash of the group: a row's side never changes as data grows

train:
  method: scratch               # scratch | finetune (base: a Hugging Face folder) | command
  steps: {steps}

package: {{quantization: q8_0}}

release:
  system_prompt: null
  sampling: {{temperature: 0.0, max_tokens: {max_tokens}}}
  engine: {{kind: llama.cpp, slots: 4, threads: 1}}

evaluate:
  suites: [test, invariance]

gate:                           # a release ships only when every bound holds
  alpha: 0.05
  rules:
    - {{measure: {measure}, at_least: {floor}}}
    - {{measure: {measure}, not_worse_than_live: 0.03}}

rollout: {{strategy: canary, canary_steps: [0.2, 0.5]}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What `init` made."""

    root: Path
    created: tuple[str, ...]
    notes: tuple[str, ...]


def init(folder: Path, *, here: bool, source: Path | None) -> Started:
    """Scaffold a project: sample data, or a data file with task, fields and splits guessed; nothing is overwritten."""
    root = folder.resolve()
    if source is not None and not source.is_file():
        raise InputError(f"{source} is not a file", cure="give a JSONL, CSV or Parquet file of rows")
    if (root / FILE).exists():
        raise InputError(f"{root / FILE} exists already", cure="edit it, or choose another folder")
    if root.exists() and any(root.iterdir()) and not here:
        raise InputError(f"{root} is not empty", cure="use `flyball init --here` to add Flyball to what is there")
    check_programs()
    made_root, before = not root.exists(), present(root)
    try:
        return scaffold(root, source)
    except BaseException:  # ctrl-c too: nothing half-made stays behind
        if made_root:
            shutil.rmtree(root, ignore_errors=True)
        for name in (FILE, SAMPLE):
            if name not in before:
                (root / name).unlink(missing_ok=True)
        raise


def present(root: Path) -> frozenset[str]:
    """The names in a folder that may not be there yet."""
    return frozenset(path.name for path in root.iterdir()) if root.is_dir() else frozenset()


def scaffold(root: Path, source: Path | None) -> Started:
    root.mkdir(parents=True, exist_ok=True)
    text, notes, created = sample_settings(root) if source is None else guessed_settings(root, source.resolve())
    created += prepare_repository(root)
    write_new(root / FILE, text)
    created += [FILE, *ignore_state(root)]
    project = Project(root=root, settings=load_settings(root))
    created += create_key(project)
    places = project.places
    places.loop.mkdir(exist_ok=True)
    places.corrections.touch()
    if not places.suppressions.exists():
        places.suppressions.write_text("[]\n", encoding="utf-8")
    sync(project)
    created.append("dvc.yaml")
    return Started(root=root, created=tuple(created), notes=tuple(notes))


def make_ready(project: Project, say: Callable[[str], None]) -> None:
    """Before a build: DVC, .gitignore and a project key where they are missing; says what was added.

    A key is never made where something was built or erased with one already: it names rows and people.
    """
    check_sources(project)
    check_programs()
    root = project.root
    added = [] if has_dvc(root, root) or has_dvc(root, git_top(root)) else prepare_repository(root)
    if project.settings.security.project_key.startswith("file:"):
        added += missing_key(project)
    added += ignore_state(root)
    if added:
        say(f"added {', '.join(added)}")


def missing_key(project: Project) -> list[str]:
    """A project key where there is none and may be one; NotFoundError where only the project's first one will do."""
    path = project.root / project.settings.security.project_key.partition(":")[2]
    if path.exists():
        return []
    erased = project.places.suppressions
    if any(map(is_ours, lock_entries(project).values())) or (erased.is_file() and erased.read_bytes().strip() != b"[]"):
        raise NotFoundError(
            f"the project key {path} is not here, and this project was built with one: rows and people are named by it",
            cure=f"copy it from a colleague's clone (mode 0600) to {os.path.relpath(path, project.root)}",
        )
    return create_key(project)


def sample_settings(root: Path) -> tuple[str, list[str], list[str]]:
    """A project over generated customer-support tickets."""
    from flyball.data.sample import write_tickets

    if not (root / SAMPLE).exists():
        write_tickets(root / SAMPLE)
    fields = {"text": "text", "label": "intent", "subject": "customer_id", "id": "id"}
    text = settings_text(root, SAMPLE, "classification", {name: (value, "") for name, value in fields.items()})
    return text, [f"{SAMPLE} holds generated customer-support tickets; replace it by your own rows"], [SAMPLE]


def guessed_settings(root: Path, source: Path) -> tuple[str, list[str], list[str]]:
    """A project over the user's file; every guess is explained as a comment."""
    from flyball.data.schema_inference import guess

    found = guess(source)
    path = str(source.relative_to(root)) if source.is_relative_to(root) else str(source)
    fields = {field.role: (field.column, field.explanation) for field in found.fields}
    text = settings_text(root, path, found.task, fields, comments=found.explanations)
    return text, list(found.explanations), []


def settings_text(
    root: Path, path: str, task: str, fields: dict[str, tuple[str, str]], *, comments: tuple[str, ...] = ()
) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", root.name.lower()).strip("-._") or "project"
    lines = [
        f"        {role}: {quoted(column)}" + (f"   # {why}" if why else "") for role, (column, why) in fields.items()
    ]
    classification = task == "classification"
    text = TEMPLATE.format(
        project=name,
        path=quoted(path),
        task=task,
        fields="\n".join(lines),
        steps=400,
        max_tokens=32 if classification else 128,
        measure="exact_match" if classification else "token_f1",
        floor=0.6 if classification else 0.2,
    )
    return "".join(f"# {comment}\n" for comment in comments) + text


def quoted(value: str) -> str:
    """A YAML scalar, quoted where it must be."""
    plain = re.fullmatch(r"[A-Za-z_./][\w./-]*", value) and value.lower() not in ("yes", "no", "null", "true", "false")
    return value if plain else "'" + value.replace("'", "''") + "'"


def ignore_state(root: Path) -> list[str]:
    """Keep what is local to this machine out of git."""
    path = root / ".gitignore"
    have = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    missing = [line for line in IGNORED if line not in have]
    if not missing:
        return []
    path.write_text("\n".join([*have, *missing]) + "\n", encoding="utf-8")
    return [".gitignore"]


def create_key(project: Project) -> list[str]:
    """A project key of our own, unless the settings say where one is already."""
    from flyball.security.keys import create_project_key

    kind, _, name = project.settings.security.project_key.partition(":")
    path = project.root / name
    if kind != "file" or path.exists():
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    create_project_key(path)
    return [os.path.relpath(path, project.root)]


def write_new(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
