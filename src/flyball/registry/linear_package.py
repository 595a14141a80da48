"""Packages a linear model for the ONNX engine: its graph and its vocabulary, as they are. I/O: folders."""

from __future__ import annotations

import shutil
from pathlib import Path

from flyball.engines.catalog import LINEAR as SERVED_BY
from flyball.errors import NotFoundError
from flyball.inference.label_scorer import LINEAR
from flyball.inference.model_folders import refuse_code, refuse_links_out, whole_folder
from flyball.inference.text_features import VECTORIZER, read_vocabulary
from flyball.records import ModelVersion, TrainingRun, fingerprint
from flyball.storage.artifacts import file_refs


def package_linear(
    model_dir: Path, *, run: TrainingRun | None, project: str, profile: Path | None, out: Path
) -> ModelVersion:
    """Write `out` with everything that serving may load, and name every file by its hash.

    NotFoundError or CorruptionError for a folder without a whole linear model. It reads texts of any length, which a
    context of 0 says.
    """
    refuse_code(model_dir)
    refuse_links_out(model_dir)
    vocabulary = read_vocabulary(model_dir)
    if not (model_dir / LINEAR).is_file():
        raise NotFoundError(f"{model_dir} has no {LINEAR}", cure="train with train.method linear")
    with whole_folder(out) as partial:
        for name in (LINEAR, VECTORIZER):
            shutil.copyfile(model_dir / name, partial / name)
        if profile:
            shutil.copyfile(profile, partial / "profile.json")
        files = file_refs(partial)
    return ModelVersion(
        project=project,
        training_run=fingerprint(run) if run else None,
        dataset=run.dataset if run else None,
        architecture="linear",
        parameters=(vocabulary.size + 1) * len(vocabulary.labels),
        context_length=0,
        formats=(SERVED_BY.loads,),
        files=files,
        chat_template="",
    )
