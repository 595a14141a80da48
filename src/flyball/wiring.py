"""Builds every object of a project once and hands it over. I/O: opens the ledger and key files when first asked for.

Heavy parts load inside the property that needs them, so that a command pays only for what it uses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.errors import EnvironmentMissing
from flyball.settings import Settings, find_root, load_settings, proxy_for, secret

if TYPE_CHECKING:
    from flyball.addresses import Reach
    from flyball.inference.http_client import ServerAccess
    from flyball.security.keys import ProjectKey
    from flyball.storage.artifacts import ArtifactStore
    from flyball.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Places:
    """Where a project keeps what: `loop/` travels with DVC, `.flyball/` stays on this machine."""

    root: Path
    home: Path | None = None
    """The project that `root` is a copy of, where DVC runs an experiment in one."""
    trial: Path | None = None
    """The folder of a trial of `flyball search`, which builds there."""

    @property
    def loop(self) -> Path:
        return (self.trial or self.root) / "loop"

    @property
    def dataset(self) -> Path:
        return self.loop / "dataset"

    @property
    def training(self) -> Path:
        return self.loop / "training"

    @property
    def model(self) -> Path:
        return self.loop / "model"

    @property
    def release(self) -> Path:
        return self.loop / "release"

    @property
    def evaluation(self) -> Path:
        return self.loop / "evaluation"

    @property
    def metrics(self) -> Path:
        return self.loop / "metrics.json"

    @property
    def corrections(self) -> Path:
        """Corrected production answers, redacted, as a source of the dataset stage."""
        return self.loop / "corrections.jsonl"

    @property
    def suppressions(self) -> Path:
        """Keyed hashes of erased people, tracked by git, so that no clone collects them again."""
        return self.loop / "suppressions.json"

    @property
    def state(self) -> Path:
        return (self.home or self.root) / ".flyball"

    @property
    def artifacts(self) -> Path:
        return self.state / "artifacts"

    @property
    def reports(self) -> Path:
        return self.state / "reports"

    @property
    def curves(self) -> Path:
        """The loss curve of each training run: what its page in the console draws."""
        return self.state / "curves"

    @property
    def checkpoints(self) -> Path:
        """States of trainings that are not over, a folder each."""
        return (self.trial or self.state) / "checkpoints"

    @property
    def search(self) -> Path:
        """Studies of `flyball search`, and the trial that runs."""
        return self.state / "search"

    @property
    def rows(self) -> Path:
        """Row indexes of dataset versions, without any text: what lineage reads."""
        return self.state / "rows"

    @property
    def segments(self) -> Path:
        return self.state / "segments"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def routes(self) -> Path:
        return self.run / "routes.json"

    @property
    def logs(self) -> Path:
        return self.state / "logs"


@dataclass
class Project:
    """One project: its settings, its places, and the objects that live in them."""

    root: Path
    settings: Settings
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    trial: Path | None = None
    """The folder of a trial of `flyball search`: it is built there instead of in `loop/`."""

    @cached_property
    def places(self) -> Places:
        return Places(self.root, self.home, self.trial)

    @cached_property
    def home(self) -> Path:
        """Where keys, ledger and tracked runs are: the project itself, where `root` is an experiment's copy."""
        return home_of(self.root, self.environment)

    @property
    def name(self) -> str:
        return self.settings.project

    @cached_property
    def ledger(self) -> Ledger:
        from flyball.storage.ledger import open_ledger  # SQLAlchemy takes a quarter of a second

        return open_ledger(self.ledger_url, project=self.name)

    @property
    def ledger_url(self) -> str:
        url = self.settings.ledger.url
        if url is None:
            return f"sqlite:///{self.places.state / 'ledger.db'}"
        return secret(url, self.home, self.environment) if url.startswith(("env:", "file:")) else url

    @cached_property
    def key(self) -> ProjectKey:
        from flyball.security.keys import parse_project_key  # cryptography takes a while

        return parse_project_key(secret(self.settings.security.project_key, self.home, self.environment))

    def way(self, api_key: str | None, reach: Reach | None = None) -> ServerAccess:
        """How a server elsewhere is reached: with this project's secrets, and the environment's proxies."""
        from flyball.inference.http_client import ServerAccess  # TLS takes a while to load

        return ServerAccess(
            api_key=api_key,
            reach=reach,
            secrets=lambda reference: secret(reference, self.home, self.environment),
            proxy_for=lambda url: proxy_for(url, self.environment),
            home=str(self.home),
        )

    @cached_property
    def artifacts(self) -> ArtifactStore:
        from flyball.storage.artifacts import ArtifactStore  # keeps `--help` free of it

        return ArtifactStore(self.places.artifacts)

    @property
    def signers(self) -> tuple[Path, ...]:
        """The public keys of which one must have signed what an engine loads."""
        return tuple(self.home / path for path in self.settings.security.signers)

    @property
    def tracking_uri(self) -> str:
        """The MLflow store; the path of a SQLite file is absolute, so that the command may run in any folder."""
        uri = self.settings.train.tracking or f"sqlite:///{self.places.state / 'mlflow.db'}"
        file = uri.removeprefix("sqlite:///")
        return uri if file == uri else f"sqlite:///{self.home / file}"

    def close(self) -> None:
        if "ledger" in self.__dict__:
            self.ledger.close()


def home_of(root: Path, environment: Mapping[str, str]) -> Path:
    """The project that `root` is a copy of, made by `dvc exp run --temp` or `--queue`; else `root` itself."""
    copy = next((folder for folder in (root, *root.parents) if (folder / ".dvc").is_dir()), root)
    origin = Path(environment.get("DVC_ROOT") or root).resolve()
    return origin / root.relative_to(copy) if copy.is_relative_to(origin / ".dvc" / "tmp") else root


def open_project(start: Path | None = None) -> Project:
    """The project at or above `start` (default: the current folder)."""
    root = find_root((start or Path.cwd()).resolve())
    project = Project(root=root, settings=load_settings(root))
    try:
        project.places.state.mkdir(exist_ok=True)
    except OSError as error:
        raise EnvironmentMissing(
            f"{project.places.state} cannot be written: {error.strerror}", cure="check the folder's owner and the disk"
        ) from error
    return project
