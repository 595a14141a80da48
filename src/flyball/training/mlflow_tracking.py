"""MLflow tracking that never stops or slows training. I/O: a thread of its own talks to the tracking store.

What cannot be stored is reported once in the log and given up; a store that does not answer is left behind at the end.
"""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flyball.telemetry import log, peak_memory_mb
from flyball.training.mlflow_model import write_mlflow_model
from flyball.training.run_owner import OWNER, end_abandoned, git_state, owner
from flyball.training.tracking_store import local_lock, local_path, open_store

BATCH = 500
PATIENCE_S = 10.0  # for a server; a store on this disk is only slow, never silent
LOCAL_PATIENCE_S = 90.0
BYTES_PER_S = 20e6  # a model is waited for longer than a number
ROLES = {"train": "training", "validation": "validation", "test": "testing"}

Task = Callable[[], None]


class Tracker:
    """One run in MLflow; every call returns at once."""

    def __init__(self, uri: str, *, project: str, run_name: str) -> None:
        self._uri, self._project, self._run_name = uri, project, run_name
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._points: list[tuple[str, float, int, int]] = []
        self._curves: set[str] = set()
        self._last_step = 0
        self._began = (time.monotonic(), time.process_time())
        self._client: Any = None
        self.run_id: str | None = None
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def params(self, params: Mapping[str, Any]) -> None:
        """The recipe."""
        from_params = [(key, str(value)[:500]) for key, value in params.items()]
        self._tasks.put(lambda: self._log_batch(params=from_params))

    def tag(self, key: str, value: str) -> None:
        """One word about the run that is not of its recipe."""
        self._tasks.put(lambda: self._client.set_tag(self.run_id, key, value))

    def dataset(self, fingerprint: str, splits: Sequence[str]) -> None:
        """What was trained on, by fingerprint."""
        self._tasks.put(lambda: self._log_dataset(fingerprint, splits))

    def point(self, metrics: Mapping[str, float], step: int) -> None:
        """One point of the curves; sent in batches."""
        self._curves |= metrics.keys()
        self._last_step = max(self._last_step, step)
        self._add(metrics, step)

    def _add(self, metrics: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._points += [(key, value, now, step) for key, value in metrics.items()]
        if len(self._points) >= BATCH:
            self._flush()

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """Final numbers, at the last step; one that has a curve too is `final_` beside it."""
        named = {f"final_{key}" if key in self._curves else key: value for key, value in metrics.items()}
        self._add(named, self._last_step)

    def finish(self, status: str, *, artifact: Path | None = None) -> None:
        """End the run (FINISHED, FAILED or KILLED) and wait a little for what is still on its way."""
        seconds, cpu = time.monotonic() - self._began[0], time.process_time() - self._began[1]
        used = {"seconds": seconds, "cpu_seconds": cpu, "peak_memory_mb": peak_memory_mb()}
        self._add({f"system/{key}": round(value, 2) for key, value in used.items()}, self._last_step)
        self._flush()
        self._tasks.put(lambda: self._end(status, artifact))
        self._tasks.put(None)
        patience = LOCAL_PATIENCE_S if local_path(self._uri) else PATIENCE_S
        self._thread.join(patience + (size_of(artifact) / BYTES_PER_S if artifact else 0.0))
        if self._thread.is_alive():
            log.warning("tracking at %s does not answer; training goes on without it", self._uri)
        elif self.failure:
            log.warning("tracking at %s failed, nothing else did: %s", self._uri, self.failure)

    def _flush(self) -> None:
        points, self._points = self._points, []
        if points:
            self._tasks.put(lambda: self._log_batch(points=points))

    def _work(self) -> None:
        try:
            self._open()
            while task := self._tasks.get():
                task()
        except BaseException as error:  # noqa: BLE001  the edge of this thread: tracking must never stop training
            self.failure = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            while self._tasks.get() is not None:
                pass

    def _open(self) -> None:
        self._client, experiment = open_store(self._uri, self._project)
        for abandoned in end_abandoned(self._client, experiment):
            log.info("the run %s was killed before its end, and says so now", abandoned)
        tags = {OWNER: owner(), **dict(git_state())}
        self.run_id = self._client.create_run(experiment, run_name=self._run_name, tags=tags).info.run_id

    def _log_batch(
        self, *, params: Sequence[tuple[str, str]] = (), points: Sequence[tuple[str, float, int, int]] = ()
    ) -> None:
        from mlflow.entities import Metric, Param

        self._client.log_batch(
            self.run_id, metrics=[Metric(*point) for point in points], params=[Param(*pair) for pair in params]
        )

    def _log_dataset(self, fingerprint: str, splits: Sequence[str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = f'{{"fingerprint": "{fingerprint}"}}'
        inputs = [
            DatasetInput(
                Dataset(f"{self._project}-{split}", fingerprint[:36], "flyball", source),
                [InputTag("mlflow.data.context", ROLES.get(split, split))],
            )
            for split in splits
        ]
        with local_lock(self._uri):  # two runs that add the same data set at once would collide
            self._client.log_inputs(self.run_id, inputs)

    def _end(self, status: str, artifact: Path | None) -> None:
        if artifact:
            self._client.set_tag(self.run_id, "flyball.artifact", str(artifact))
            if artifact.is_dir():
                self._register(artifact)
        self._client.set_terminated(self.run_id, status)

    def _register(self, artifact: Path) -> None:
        """One more version of the project's model in MLflow's registry, with files of its own."""
        assert self.run_id is not None
        with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=artifact.parent) as made:
            write_mlflow_model(artifact, Path(made) / "model", run_id=self.run_id)
            self._client.log_artifacts(self.run_id, str(Path(made) / "model"), "model")
        source = f"{self._client.get_run(self.run_id).info.artifact_uri}/model"
        with local_lock(self._uri):
            if not self._client.search_registered_models(f"name = '{self._project}'"):
                self._client.create_registered_model(self._project)
            self._client.create_model_version(self._project, source=source, run_id=self.run_id)


def size_of(folder: Path) -> int:
    """Bytes in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
