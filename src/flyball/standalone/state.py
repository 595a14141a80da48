"""The state folder of a gateway without a project: a key, a ledger, segments, and how long they are kept. I/O: it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flyball.errors import CorruptionError, NotFoundError
from flyball.gateway.config import RecordingConfig
from flyball.gateway.context import IngestContext
from flyball.security.keys import ProjectKey, create_project_key, parse_project_key
from flyball.settings import secret
from flyball.storage.ledger import Ledger, open_ledger
from flyball.whole_files import replace_file

PROJECT = "standalone"
RECORDING = "recording.json"


def state_key(state: Path) -> ProjectKey:
    """The state folder's own key, made when it is first used."""
    path = state / "project.key"
    state.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        create_project_key(path)
    return parse_project_key(secret(f"file:{path.resolve()}", state))


def check_used(state: Path) -> None:
    """NotFoundError for a folder that no gateway and no key has used yet: to look there would show nothing."""
    if not (state / "ledger.db").is_file():
        raise NotFoundError(
            f"{state} is not the state folder of a gateway: it holds no ledger.db",
            cure="give the folder that `flyball gateway --state` was started with",
        )


def open_state(state: Path) -> Ledger:
    """The ledger of a gateway without a project."""
    return open_ledger(f"sqlite:///{state.resolve() / 'ledger.db'}", project=PROJECT)


def keep_recording(state: Path, recording: RecordingConfig) -> None:
    """Leave word for commands that take segments in of how long their gateway keeps things."""
    replace_file(state / RECORDING, msgspec.json.encode(recording), durable=False)


def kept_recording(state: Path) -> RecordingConfig:
    """What the last gateway of this folder was started with; CorruptionError for a file that does not say it."""
    path = state / RECORDING
    try:
        return msgspec.json.decode(path.read_bytes(), type=RecordingConfig) if path.is_file() else RecordingConfig()
    except msgspec.MsgspecError as error:
        raise CorruptionError(
            f"{path} does not say how long things are kept: {error}",
            cure="start the gateway of this folder once, which writes it again",
        ) from error


def ingest_context(state: Path, recording: RecordingConfig, key: ProjectKey, ledger: Ledger) -> IngestContext:
    """What takes this folder's segments into its ledger."""
    return IngestContext(
        recording=recording, project=PROJECT, segments_dir=state / "segments", project_key=key, ledger=ledger
    )
