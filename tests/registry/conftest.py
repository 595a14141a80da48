"""One small model, trained once and packaged twice, for all tests of the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from built_folders import built_folder
from flyball.records import DatasetVersion, ModelVersion, TrainingRun
from flyball.registry.config import PackageConfig
from flyball.registry.packaging import package
from flyball.telemetry import quiet
from flyball.training.training_run import train
from small_models import RECIPE, engine, rows, write_dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """A trained folder and its two packages."""

    training: Path
    exact: Path
    small: Path
    dataset: DatasetVersion
    run: TrainingRun
    model: ModelVersion


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Packaged:
    """Trained on made rows; packaged as f32 (`exact`) and q8_0 (`small`; `model` is its record)."""
    root = built_folder("packaged", build, tmp_path_factory.mktemp("registry") / "packaged", recipe=__file__)
    dataset, run, model = (
        msgspec.json.decode((root / f"{kind.__name__}.json").read_bytes(), type=kind)
        for kind in (DatasetVersion, TrainingRun, ModelVersion)
    )
    return Packaged(
        training=root / "training", exact=root / "exact", small=root / "small", dataset=dataset, run=run, model=model
    )


def build(root: Path) -> None:
    root.mkdir()
    dataset = write_dataset(root / "dataset", rows(200, seed=1), rows(40, seed=2))
    (root / "profile.json").write_text("{}")
    run = train(
        RECIPE,
        project="shop",
        task="classification",
        dataset=dataset,
        dataset_dir=root / "dataset",
        base_dir=None,
        out=root / "training",
        tracking_uri=f"sqlite:///{root}/mlflow.db",
        progress=quiet,
    )
    made = {}
    for kind, name in (("f32", "exact"), ("q8_0", "small")):
        made[name] = package(
            root / "training",
            config=PackageConfig(quantization=kind),
            run=run,
            project="shop",
            profile=root / "profile.json",
            out=root / name,
        )
    for record in (dataset, run, made["small"]):
        (root / f"{type(record).__name__}.json").write_bytes(msgspec.json.encode(record))


@pytest.fixture(scope="session")
def exact_url(packaged: Packaged) -> Iterator[str]:
    """A running engine with the f32 weights."""
    with engine(packaged.exact / "model.gguf", exact=True) as url:
        yield url


@pytest.fixture(scope="session")
def small_url(packaged: Packaged) -> Iterator[str]:
    """A running engine with the q8_0 weights."""
    with engine(packaged.small / "model.gguf") as url:
        yield url
