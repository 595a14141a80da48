"""The build as a DVC pipeline: keeps our stages in dvc.yaml and brings them up to date. I/O: dvc.yaml, DVC, git.

Each stage has the name of the record that it writes. Only our own stages of a dvc.yaml are touched; comments and other
stages stay. Raw sources inside the project are added to DVC, so that a colleague's clone has them too.
"""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flyball.data.readers.source_file import kind_of_path, require_file
from flyball.dvc.commands import dvc
from flyball.errors import ConfigError, EnvironmentMissing, InputError, NotFoundError
from flyball.records.yaml_documents import load_yaml
from flyball.registry.gguf.header import read_header
from flyball.settings import FILE, expand, leaves_project, read_yaml, source_path
from flyball.whole_files import replace_file
from flyball.wiring import Project

STAGES = ("dataset", "training", "model", "release", "evaluation")
LEARNED = ("scratch", "finetune", "lora")  # methods whose rows are rendered and steps plotted here
PREFIX = "flyball-"  # where a repository has stages of those names already

CURVE = "loop/training/curve.json"
PLOT: dict[str, Any] = {CURVE: {"x": "step", "y": "loss", "title": "Training loss"}}
"""What `dvc plots` draws; at the top of dvc.yaml, where it makes no stage run again."""

LOCK_TIMES = 10
"""How much larger than a file of people dvc.yaml and dvc.lock may be: programs write them."""

Stage = dict[str, Any]


def stages(project: Project, present: Sequence[str]) -> dict[str, Stage]:
    """Our stages; `present` are the top-level keys of flyball.yaml, since DVC refuses parameters that are not there."""

    def params(*wanted: str) -> list[Any]:
        return [{FILE: [key for key in wanted if key.partition(".")[0] in present]}]

    command = "flyball stage"
    trained = "training" in stage_names(project)
    found = teacher_of(project)
    teacher = [relative(found[0], project.root)] if found else []  # an alias that moves to another trains again
    sources = [
        relative(source_path(source.path, project.root), project.root) for source in project.settings.data.sources
    ]
    wanted: dict[str, Stage] = {
        "dataset": {
            "cmd": f"{command} dataset",
            "deps": [*sources, "loop/corrections.jsonl", "loop/suppressions.json"],
            "params": params("project", "task", "data"),
            "outs": [{"loop/dataset": {"persist": True}}],
        },
        "training": {
            "cmd": f"{command} training",
            "deps": ["loop/dataset", *base_model(project), *teacher],
            "params": params("project", "task", "train", *asked_first(project)),
            "outs": ["loop/training"],
        },
        "model": {
            "cmd": f"{command} model",
            "deps": ["loop/dataset/profile.json", "loop/training"] if trained else base_model(project),
            "params": params("project", "package") if trained else params("project", "train", "package", "release"),
            "outs": ["loop/model"],
        },
        "release": {
            "cmd": f"{command} release",
            "deps": ["loop/dataset/record.json", "loop/model"],
            "params": params("project", "task", "release"),
            "outs": ["loop/release"],
        },
        "evaluation": {
            "cmd": f"{command} evaluation",
            "deps": ["loop/dataset/record.json", "loop/dataset/test.parquet", "loop/model", "loop/release"],
            "params": params("evaluate"),
            "outs": ["loop/evaluation"],
            "metrics": [{"loop/metrics.json": {"cache": False}}],
        },
    }
    return {name: wanted[name] for name in stage_names(project)}


def stage_names(project: Project) -> tuple[str, ...]:
    """The stages of this project: one that takes a model as it is trains nothing."""
    return tuple(name for name in STAGES if name != "training" or project.settings.train.method != "none")


def asked_first(project: Project) -> list[str]:
    """What of the release decides how training renders its rows, where the settings say something of it."""
    release = project.settings.release
    if project.settings.train.method not in LEARNED:
        return []
    told = {
        "system_prompt": release.system_prompt,
        "examples": release.examples,
        "constraint": release.constraint == "none",
    }
    return [f"release.{name}" for name, said in told.items() if said]


def base_model(project: Project) -> list[str]:
    base = project.settings.train.base
    return [relative(expand(base, project.root), project.root)] if base else []


def teacher_of(project: Project) -> tuple[Path, str | None] | None:
    """The folder of the model that a student learns from, and its name where it is a model version; None for none."""
    teacher = project.settings.train.teacher
    if not teacher:
        return None
    from flyball.registry.teachers import find_teacher  # SQLAlchemy loads with it

    return find_teacher(
        teacher,
        expand(teacher, project.root),
        ledger=project.ledger,
        state=project.places.state,
        artifacts=project.artifacts,
    )


def relative(path: Path, root: Path) -> str:
    """A path as DVC wants it: relative inside the project, absolute outside."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def sync(project: Project) -> dict[str, str]:
    """Bring our stages in dvc.yaml up to date with flyball.yaml; the name of each stage there."""
    yaml = round_trip_yaml()
    path = project.root / "dvc.yaml"
    document = read_pipeline(path, yaml)
    present = list(read_yaml(project.root / FILE))
    plotted = set_plot(document, wanted=project.settings.train.method in LEARNED)
    listed = document.setdefault("stages", {})
    taken = any(name in listed and not is_ours(listed[name]) for name in STAGES)
    names = {stage: f"{PREFIX}{stage}" if taken else stage for stage in STAGES}
    wanted = stages(project, present)
    left = [name for stage, name in names.items() if stage not in wanted and is_ours(listed.get(name))]
    if not plotted and not left and all(listed.get(names[stage]) == stage_now for stage, stage_now in wanted.items()):
        return names
    for name in left:
        del listed[name]
    for stage, stage_now in wanted.items():
        listed[names[stage]] = stage_now
    text = io.StringIO()
    yaml.dump(document, text)
    replace_file(path, text.getvalue().encode(), durable=False)
    return names


def set_plot(document: Any, *, wanted: bool) -> bool:
    """List the loss curve among the plots, or take it out; the plots of others stay. Whether anything changed."""
    listed = document.get("plots", [])
    if isinstance(listed, Mapping) or any(
        one == CURVE or (isinstance(one, Mapping) and CURVE in one and one != PLOT) for one in listed
    ):
        return False  # their own settings
    if (PLOT in listed) == wanted:
        return False
    if wanted:
        document.setdefault("plots", []).append(msgspec.to_builtins(PLOT))
    else:
        listed.remove(PLOT)
    if not listed and not wanted:
        del document["plots"]
    return True


def read_pipeline(path: Path, yaml: Any) -> Any:
    """What dvc.yaml holds, with its comments; empty where there is none."""
    from ruamel.yaml.error import YAMLError  # comes with DVC

    check_yaml(path)
    try:
        document: Any = (yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
    except YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}", cure="fix the line that it names") from error
    if not isinstance(document, dict) or not isinstance(document.get("stages", {}), dict):
        raise ConfigError(f"{path} is not a DVC pipeline", cure="see https://dvc.org/doc/user-guide/project-structure")
    return document


def is_ours(stage: Any) -> bool:
    """Whether a stage of dvc.yaml or dvc.lock is one that we wrote."""
    return isinstance(stage, Mapping) and str(stage.get("cmd", "")).startswith("flyball stage ")


def round_trip_yaml() -> Any:
    """A YAML reader and writer that keeps comments; part of DVC."""
    try:
        from ruamel.yaml import YAML  # comes with DVC, which only the build needs
    except ModuleNotFoundError as error:
        raise EnvironmentMissing("DVC is not installed", cure='pip install "flyball[build,train]"') from error
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # lines of other stages stay as they are
    return yaml


def reproduce(project: Project, stage: str | None = None) -> list[str]:
    """Run the stages that are out of date (up to `stage`); the stages that ran, in order."""
    check_sources(project)
    if stage and stage not in stage_names(project):
        raise InputError(f"this project has no stage {stage}: train.method is none", cure="run `flyball run`")
    before = lock_entries(project)
    names = sync(project)
    track_sources(project)
    target = [names[stage]] if stage else [names[STAGES[-1]]]
    dvc(project, "repro", *target)
    after = lock_entries(project)
    return [name for name in STAGES if after.get(names[name]) != before.get(names[name])]


def lock_entries(project: Project) -> Mapping[str, Any]:
    """The stages of dvc.lock: what each was last made from."""
    return stages_in(project.root / "dvc.lock")


def stages_in(path: Path) -> Mapping[str, Any]:
    """The stages of a file of DVC's; empty where there is none."""
    return stages_of(check_yaml(path))


def stages_of(document: Any) -> Mapping[str, Any]:
    """The stages of what such a file holds; empty where that is something else."""
    found = document.get("stages") if isinstance(document, dict) else None
    return dict(found or {})


def check_yaml(path: Path) -> Any:
    """What a YAML file of DVC's holds, None where there is none; ConfigError when it is broken or larger than any."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), path) if path.is_file() else None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not YAML: {error}", cure="fix it, or restore it from git") from error


def parse_yaml(text: str, path: Path) -> Any:
    """What the text of such a file holds; ConfigError, which names `path`, when it is broken or larger than any."""
    import yaml  # in milliseconds; ruamel keeps comments, but is slow and writes out every alias

    try:
        return load_yaml(text, times=LOCK_TIMES)
    except (yaml.YAMLError, RecursionError) as error:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{path} is not YAML: {problem}", cure="fix it, or restore it from git") from error


def check_sources(project: Project) -> None:
    """Raise NotFoundError for a source or base model that is neither there nor made by another stage of dvc.yaml."""
    made = outputs_of_others(project.root)
    wanted = [("the data source", "data.sources", path) for path in source_paths(project)]
    if base := project.settings.train.base:
        wanted.append(("the base model", "train.base", expand(base, project.root)))
    for source in project.settings.data.sources:
        if not project.settings.data.allow_outside and leaves_project(source.path, project.root):
            raise ConfigError(
                f"the data source {source.path} is outside the project, so that no clone would have it",
                cure="copy it in, name it with a ${VARIABLE} of each machine, or set data.allow_outside: true",
            )
    for what, key, path in wanted:
        if not path.exists() and not any(path.is_relative_to(output) for output in made):
            kept = path.with_name(path.name + ".dvc").is_file()  # DVC knows its content, as in a fresh clone
            cure = f"run `dvc pull {path.name}.dvc` where it lies, or check {key}" if kept else f"check {key}"
            raise NotFoundError(f"{what} {path} is not there", cure=f"{cure} in {FILE}")
        if key == "data.sources" and path.exists() and kind_of_path(path) not in ("a file", "a folder"):
            require_file(path)


def check_context(project: Project) -> None:
    """Raise ConfigError for a release that would ask for more tokens than the trained model reads: before training."""
    train, wanted = project.settings.train, project.settings.release.engine.context
    reads: int | None = None
    if train.method == "scratch":
        reads = train.size.context
    elif train.method in ("finetune", "lora", "none") and train.base:
        reads = context_of(expand(train.base, project.root))
    if wanted is not None and reads is not None and wanted > reads:
        more = ", or train.size.context to more" if train.method == "scratch" else ""
        raise ConfigError(
            f"release.engine.context is {wanted}, the model will read {reads} tokens",
            cure=f"set it to at most that{more}",
        )


def context_of(folder: Path) -> int | None:
    """How many tokens the model in a Hugging Face folder or GGUF file reads, as far as it says so."""
    if folder.is_file():
        header = read_header(folder)
        return int(header.get(f"{header.get('general.architecture')}.context_length", 0)) or None
    try:
        reads = json.loads((folder / "config.json").read_bytes())["max_position_embeddings"]
    except (OSError, ValueError, LookupError, TypeError):
        return None  # what opens the folder says what is wrong
    return reads if isinstance(reads, int) else None


def source_paths(project: Project) -> list[Path]:
    """Where the raw rows are."""
    return [source_path(source.path, project.root) for source in project.settings.data.sources]


def outputs_of_others(root: Path) -> list[Path]:
    """What stages of dvc.yaml that are not ours make."""
    outputs = []
    for stage in stages_in(root / "dvc.yaml").values():
        if is_ours(stage) or not isinstance(stage, Mapping):
            continue
        folder = root / str(stage.get("wdir", "."))
        for output in stage.get("outs") or ():
            name = next(iter(output)) if isinstance(output, Mapping) else output
            outputs.append((folder / str(name)).resolve())
    return outputs


def track_sources(project: Project) -> None:
    """Add to DVC the sources inside the project that nobody versions, and the corrections."""
    places = project.places
    places.loop.mkdir(exist_ok=True)
    places.corrections.touch()
    if not places.suppressions.exists():
        places.suppressions.write_text("[]\n", encoding="utf-8")
    made = outputs_of_others(project.root)
    fresh = [
        relative(path, project.root)
        for path in (*source_paths(project), places.corrections)
        if path.is_relative_to(project.root)
        and not any(path.is_relative_to(output) for output in made)
        and needs_adding(path, project.root)
    ]
    if fresh:
        dvc(project, "add", *fresh)


def needs_adding(path: Path, root: Path) -> bool:
    """Whether nobody versions this file or a folder around it yet, or DVC has an older content of it."""
    pointer = path.with_name(path.name + ".dvc")
    if pointer.is_file():
        return pointer.stat().st_mtime_ns < path.stat().st_mtime_ns
    around = [folder for folder in path.parents if folder != root and folder.is_relative_to(root)]
    if any(folder.with_name(folder.name + ".dvc").is_file() for folder in around):
        return False
    tracked = subprocess.run(["git", "ls-files", "--error-unmatch", path.name], cwd=path.parent, capture_output=True)
    return tracked.returncode != 0
