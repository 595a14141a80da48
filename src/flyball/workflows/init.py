"""`flyball init`: a new project, one in an existing repository, or one guessed from a file. I/O: writes a project.

Also what a build needs first in a project that came without it, such as an example of a cloned repository.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyball.dvc.pipeline import check_sources, is_ours, lock_entries, sync
from flyball.dvc.repositories import check_programs, git_top, has_dvc, prepare_repository
from flyball.errors import InputError, NotFoundError
from flyball.evaluation.measures.exact_fields import json_object
from flyball.settings import FILE, load_settings
from flyball.whole_files import replace_file
from flyball.wiring import Project
from flyball.workflows.init_settings import ProjectShape, Rows, Shape, settings_text

SAMPLE, QUESTIONS = "tickets.jsonl", "questions.jsonl"
IGNORED = ("/.flyball/",)
ENOUGH = 40
"""Rows of a sample, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What `init` made."""

    root: Path
    created: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A model to begin with: a path or a server's URL, and for a URL the model's name and key there."""

    source: str
    model_name: str | None = None
    api_key: str | None = None


def init(
    folder: Path,
    *,
    here: bool,
    source: Path | None,
    model: ModelChoice | None = None,
    text: str | None = None,
    label: str | None = None,
) -> Started:
    """Scaffold a project: sample data, or a data file with task, fields and splits guessed; nothing is overwritten.

    With a `model` nothing is trained: the rows are the cases that it has to pass. `text`, `label`: columns of the file.
    """
    root = folder.resolve()
    if source is not None and source.is_dir():
        require_one_file(source, folder)
    if source is not None and not (source.is_file() or source.is_dir()):
        raise InputError(
            f"{source} is not a file", cure="give a JSONL, JSON, CSV or Parquet file of rows, or a folder of .txt files"
        )
    if (root / FILE).exists():
        raise InputError(f"{root / FILE} exists already", cure="edit it, or choose another folder")
    if root.exists() and any(root.iterdir()) and not here:
        raise InputError(f"{root} is not empty", cure="use `flyball init --here` to add Flyball to what is there")
    check_programs()
    made_root, before = not root.exists(), present(root)
    try:
        return scaffold(root, source, model, {"text": text, "label": label})
    except BaseException:  # ctrl-c too: nothing half-made stays behind
        if made_root:
            shutil.rmtree(root, ignore_errors=True)
        for name in (FILE, SAMPLE, QUESTIONS, *([source.name] if source is not None else [])):
            if name not in before and (root / name).is_file():
                (root / name).unlink()
        raise


def require_one_file(source: Path, folder: Path) -> None:
    """A folder of files of rows is refused with the command for one of them."""
    from flyball.data.readers.text_folder import files_of_rows, text_files

    names = files_of_rows(source, text_files(source))
    if names:
        first = next((name for name in names if "train" in name.lower()), names[0])
        raise InputError(
            f"{source} holds {', '.join(names[:10])}, and a project begins with one file",
            cure=f"flyball init --from {source / first} {folder}",
        )


def present(root: Path) -> frozenset[str]:
    """The names in a folder that may not be there yet."""
    return frozenset(path.name for path in root.iterdir()) if root.is_dir() else frozenset()


def scaffold(root: Path, source: Path | None, model: ModelChoice | None, columns: Mapping[str, str | None]) -> Started:
    root.mkdir(parents=True, exist_ok=True)
    having = _existing(root, model) if model else None
    created: list[str] = []
    if source is not None:
        rows, notes = guessed_rows(root, source.resolve(), learned=having is None, columns=columns), list[str]()
        if rows.shape in ("answers", "questions") and having is None:
            raise needs_a_model(source, rows, root)
    else:
        rows, notes = sample_rows(root, having)
        created.append(rows.path)
    notes += list(rows.comments)
    text = settings_text(root.name, rows, having)
    created += prepare_repository(root)
    replace_file(root / FILE, text.encode(), durable=False)
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


def _existing(root: Path, model: ModelChoice) -> ProjectShape:
    from flyball.workflows.model_probe import existing_model  # most projects begin without one

    return existing_model(model.source, root=root, model_name=model.model_name, api_key=model.api_key)


def needs_a_model(source: Path, rows: Rows, root: Path) -> InputError:
    """Why free answers are not learned from the rows alone, and what to give."""
    what = "free answers" if rows.shape == "answers" else "no answers"
    if rows.shape != "answers" and rows.comments:
        what += f" ({rows.comments[0].removeprefix('task chat: ')})"
    return InputError(
        f"{source} holds {what}, and no model learns to talk from {rows.count} rows alone: it needs one that can",
        cure=f"flyball init {os.path.relpath(root)} --from {source} --model PATH|URL (a Hugging Face "
        "folder, a GGUF file, or the URL of an "
        "OpenAI-compatible server): the rows become the cases that it has to pass",
    )


def sample_rows(root: Path, having: ProjectShape | None) -> tuple[Rows, list[str]]:
    """Generated customer-support tickets to learn from; for a model that exists, questions to ask it."""
    if having is None:
        from flyball.data.samples.tickets import write_tickets

        if not (root / SAMPLE).exists():
            write_tickets(root / SAMPLE)
        fields = {"text": "text", "label": "intent", "subject": "customer_id", "id": "id"}
        note = f"{SAMPLE} holds generated customer-support tickets; replace it by your own rows"
        return _sample(SAMPLE, "labels", fields), [note]
    from flyball.data.samples.questions import write_questions

    if not (root / QUESTIONS).exists():
        write_questions(root / QUESTIONS)
    note = f"{QUESTIONS} holds questions without answers; replace it by your own rows, or give --from FILE"
    return _sample(QUESTIONS, "questions", {"text": "text"}), [note]


def _sample(path: str, shape: Shape, fields: dict[str, str]) -> Rows:
    columns = {role: (column, "") for role, column in fields.items()}
    return Rows(path=path, shape=shape, fields=columns, labels={}, count=ENOUGH)


def guessed_rows(root: Path, source: Path, *, learned: bool, columns: Mapping[str, str | None]) -> Rows:
    """The user's rows, copied in where they are elsewhere; every guess is explained as a comment.

    Where nothing is `learned` all rows are cases, so that only sides of their own matter.
    """
    from flyball.data.config import SourceConfig
    from flyball.data.schema_inference import first_rows, guess

    found = guess(source, text=columns.get("text"), label=columns.get("label"))
    fields = {field.role: (field.column, field.explanation) for field in found.fields}
    config = SourceConfig(path=str(source), columns=found.columns or None)
    raws = [raw.fields for raw in first_rows(source, config) if raw.fields]
    answers = answers_in(raws, fields) if found.answered else []
    shape = shape_of(found.task, answers)
    path, note = brought_in(root, source)
    return Rows(
        path=path,
        shape=shape,
        fields=fields,
        comments=(*found.explanations, *(found.sides if learned or "split" in fields else ()), *note),
        labels=Counter(str(answer) for answer in answers if answer is not None) if shape == "labels" else {},
        count=len(raws),
        columns=found.columns,
    )


def answers_in(rows: Sequence[Mapping[str, Any]], fields: Mapping[str, tuple[str, str]]) -> list[object]:
    """The answers of rows, as far as they have some."""
    from flyball.data.columns import text_of, value_of
    from flyball.data.conversations import NotTurns, conversation_of
    from flyball.data.row_preparation import answer_of

    if "label" in fields:
        return [answer_of(text_of(row, fields["label"][0])) for row in rows]
    if "messages" not in fields:
        return []
    found: list[object] = []
    for row in rows:
        try:
            answer = conversation_of(value_of(row, fields["messages"][0])).answer
        except NotTurns:
            continue
        found += [answer] if answer is not None else []
    return found


def brought_in(root: Path, source: Path) -> tuple[str, tuple[str, ...]]:
    """The path of the rows in the project; a copy of those that are elsewhere, so that a clone has them too."""
    if source.is_relative_to(root):
        return str(source.relative_to(root)), ()
    target = root / source.name
    if not target.exists():
        partial = target.with_name(f".{source.name}.partial")
        if source.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial)
        else:
            shutil.copyfile(source, partial)
        partial.replace(target)
    return source.name, (f"{source.name} is a copy of {source}, outside the project; erasing a person leaves that one",)


def shape_of(task: str, answers: Sequence[object]) -> Shape:
    """Whether rows hold labels, JSON objects, free answers, or only questions; few different objects are no labels."""
    objects = sum(isinstance(a, dict) or (isinstance(a, str) and json_object(a) is not None) for a in answers)
    if objects * 2 > len(answers):
        return "objects"
    if task == "classification":
        return "labels"
    return "answers" if answers else "questions"


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
