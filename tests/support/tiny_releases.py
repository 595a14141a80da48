"""Releases of tiny models in a project's ledger and store, which a real engine can load."""

from __future__ import annotations

from flyball.records import ModelVersion, name_of
from flyball.storage.artifacts import file_refs
from flyball.wiring import Project
from tiny_gguf import tiny_release, write_tiny_gguf


def add_model(project: Project, seed: int) -> str:
    """A tiny model that says letters, packaged once; another seed is another model."""
    folder = project.root / f"model-{seed}"
    if not folder.exists():
        folder.mkdir(parents=True)
        write_tiny_gguf(folder / "model.gguf", seed=seed, printable=True)
    files = file_refs(folder)
    made = ModelVersion(
        project="shop",
        training_run=None,
        dataset=None,
        architecture="llama",
        parameters=28_000,
        context_length=256,
        formats=("gguf",),
        files=files,
        chat_template="",
    )
    project.ledger.append(made)
    project.artifacts.put(name_of(made), folder, files)
    return name_of(made)


def add_release(project: Project, *, seed: int = 0, slots: int = 2, **more: object) -> str:
    """A release around such a model."""
    release = tiny_release(slots=slots, model=add_model(project, seed), **more)
    project.ledger.append(release)
    return name_of(release)
