"""The build as a DVC pipeline: keeps our stages in dvc.yaml and brings them up to date. I/O: dvc.yaml, DVC, git.

Each stage has the name of the record that it writes. Only our own stages of a dvc.yaml are touched; comments and other
stages stay. Raw sources inside the project are added to DVC, so that a colleague's clone has them too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flyball.errors import EnvironmentMissing, FlyballError, InputError, NotFoundError
from flyball.settings import FILE, expand
from flyball.wiring import Project

STAGES = ("dataset", "training", "model", "release", "evaluation")
PREFIX = "flyball-"  # where a repository has stages of those names already
QUIET = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "RAY_USAGE_STATS_ENABLED": "0"}

Stage = dict[str, Any]


def stages(project: Project, present: Sequence[str]) -> dict[str, Stage]:
    """Our stages; `present` are the top-level keys of flyball.yaml, since DVC refuses parameters that are not there."""

    def params(*wanted: str) -> list[Any]:
        return [{FILE: [key for key in wanted if key in present]}]

    command = "flyball stage"
    sources = [relative(expand(source.path, project.root), project.root) for source in project.settings.data.sources]
    return {
        "dataset": {
            "cmd": f"{command} dataset",
            "deps": [*sources, "loop/corrections.jsonl", "loop/suppressions.json"],
            "params": params("project", "task", "data"),
            "outs": ["loop/dataset"],
        },
        "training": {
            "cmd": f"{command} training",
            "deps": ["loop/dataset", *base_model(project)],
            "params": params("project", "task", "train"),
            "outs": ["loop/training"],
        },
        "model": {
            "cmd": f"{command} model",
            "deps": ["loop/dataset/profile.json", "loop/training"],
            "params": params("project", "package"),
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


def base_model(project: Project) -> list[str]:
    base = project.settings.train.base
    return [relative(expand(base, project.root), project.root)] if base else []


def relative(path: Path, root: Path) -> str:
    """A path as DVC wants it: relative inside the project, absolute outside."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def sync(project: Project) -> dict[str, str]:
    """Bring our stages in dvc.yaml up to date with flyball.yaml; the name of each stage there."""
    yaml = round_trip_yaml()
    path = project.root / "dvc.yaml"
    document: Any = (yaml.load(path.read_text(encoding="utf-8")) if path.is_file() else None) or {}
    present = list(yaml.load((project.root / FILE).read_text(encoding="utf-8")))
    listed = document.setdefault("stages", {})
    taken = any(name in listed and not is_ours(listed[name]) for name in STAGES)
    names = {stage: f"{PREFIX}{stage}" if taken else stage for stage in STAGES}
    wanted = stages(project, present)
    if all(listed.get(names[stage]) == wanted[stage] for stage in STAGES):
        return names
    for stage in STAGES:
        listed[names[stage]] = wanted[stage]
    temporary = path.with_name(".dvc.yaml.new")
    with temporary.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    temporary.replace(path)
    return names


def is_ours(stage: Mapping[str, Any]) -> bool:
    return str(stage.get("cmd", "")).startswith("flyball stage ")


def round_trip_yaml() -> Any:
    """A YAML reader and writer that keeps comments; part of DVC."""
    try:
        from ruamel.yaml import YAML  # comes with DVC, which only the build needs
    except ModuleNotFoundError as error:
        raise EnvironmentMissing("DVC is not installed", cure='pip install "flyball[build,train]"') from error
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    return yaml


def reproduce(project: Project, stage: str | None = None) -> list[str]:
    """Run the stages that are out of date (up to `stage`); the stages that ran, in order."""
    names = sync(project)
    track_sources(project)
    before = lock_entries(project)
    target = [names[stage]] if stage else [names[STAGES[-1]]]
    code = dvc(project, "repro", "--quiet", *target)
    if code != 0:
        raise StageFailed(code)
    after = lock_entries(project)
    return [name for name in STAGES if after.get(names[name]) != before.get(names[name])]


class StageFailed(FlyballError):
    """A stage said what was wrong on standard error already; its exit code is ours."""

    code = "stage_failed"

    def __init__(self, exit_code: int) -> None:
        super().__init__("the build stopped; the message above says why", cure="mend that and run the same command")
        self.exit_code = exit_code


def lock_entries(project: Project) -> Mapping[str, Any]:
    import yaml  # PyYAML reads dvc.lock in a millisecond; ruamel keeps comments but is slow

    path = project.root / "dvc.lock"
    if not path.is_file():
        return {}
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return dict((document or {}).get("stages", {}))


def track_sources(project: Project) -> None:
    """Add to DVC the sources inside the project that neither DVC nor git has, and the corrections."""
    wanted = [expand(source.path, project.root) for source in project.settings.data.sources]
    for path in wanted:
        if not path.exists():
            raise NotFoundError(f"the data source {path} is not there", cure=f"check data.sources in {FILE}")
    places = project.places
    places.loop.mkdir(exist_ok=True)
    places.corrections.touch()
    if not places.suppressions.exists():
        places.suppressions.write_text("[]\n", encoding="utf-8")
    fresh = [
        relative(path, project.root)
        for path in (*wanted, places.corrections)
        if path.is_relative_to(project.root) and needs_adding(path, project.root)
    ]
    if fresh and dvc(project, "add", "--quiet", *fresh) != 0:
        raise EnvironmentMissing(f"DVC could not add {', '.join(fresh)}", cure="see its message above")


def needs_adding(path: Path, root: Path) -> bool:
    """Whether nobody versions this file yet, or DVC has an older content of it."""
    pointer = path.with_name(path.name + ".dvc")
    if pointer.is_file():
        return pointer.stat().st_mtime_ns < path.stat().st_mtime_ns
    tracked = subprocess.run(["git", "ls-files", "--error-unmatch", path.name], cwd=path.parent, capture_output=True)
    return tracked.returncode != 0


def dvc(project: Project, *arguments: str) -> int:
    """Run DVC in the project's folder; its output goes to standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project.root,
        env=environment(project),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise


def environment(project: Project) -> dict[str, str]:
    """The environment of a stage: our command on the path, dependencies' telemetry off."""
    path = os.pathsep.join([str(Path(sys.executable).parent), project.environment.get("PATH", "")])
    return {**project.environment, **QUIET, "PATH": path}


def prepare_repository(root: Path) -> list[str]:
    """Make sure that git and DVC know this folder; what was added."""
    if shutil.which("git") is None:
        raise EnvironmentMissing("git is not installed", cure="install git (for example: apt install git)")
    done = []
    top = git_top(root)
    if top is None:
        subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
        done.append("a git repository")
        top = root
    if not any((folder / ".dvc").is_dir() for folder in (root, *root.parents) if folder.is_relative_to(top)):
        run_dvc_init(root, [] if top == root else ["--subdir"])
        done.append("DVC")
    return done


def git_top(root: Path) -> Path | None:
    """The git repository that this folder belongs to; None when there is none, or it ignores the folder."""
    inside = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=root, capture_output=True, text=True)
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "."], cwd=root, capture_output=True)
    return None if inside.returncode != 0 or ignored.returncode == 0 else Path(inside.stdout.strip()).resolve()


def run_dvc_init(root: Path, flags: list[str]) -> None:
    environment = {**os.environ, **QUIET}
    for arguments in (
        ["init", *flags],
        ["config", "core.analytics", "false"],
        ["config", "core.check_update", "false"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, capture_output=True, text=True
        )
        if "No module named dvc" in done.stderr:
            raise EnvironmentMissing("DVC is not installed", cure='pip install "flyball[build,train]"')
        if done.returncode != 0:
            raise InputError(f"DVC refused {' '.join(arguments)}: {done.stderr.strip()}", cure="mend that first")
