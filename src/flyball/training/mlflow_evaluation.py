"""The figures of an evaluation, and the gate's verdict, in the MLflow run that trained the model. I/O: the store.

MLflow compares runs, so they stand beside the loss, in the run itself. A model that nobody trained here, or whose run
is not in this store, has a run of its own. Run as a program: reads one document from standard input, and takes turns
with others on the file that is its argument.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flyball.training.tracking_store import RUN_OF, open_store
from flyball.whole_files import held

LIMIT_S = 180
"""After so many seconds the program is ended: the store does not answer."""

MODEL = "flyball.model"
REFUSED = re.compile(r"[^\w.:/ -]")


class Tracked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is logged about one model: metrics by name, and tags."""

    uri: str
    project: str
    model: str
    training_run: str | None = None
    metrics: Mapping[str, float] = {}
    tags: Mapping[str, str] = {}


def log_evaluation(tracked: Tracked) -> str:
    """Log it, at the run's last step; the id of the MLflow run. Whatever the store raises."""
    from mlflow.entities import Metric, RunTag  # heavy, and wanted only while something is tracked

    client, experiment = open_store(tracked.uri, tracked.project)
    run = find_run(client, experiment, tracked)
    now, step = int(time.time() * 1000), int(run.data.params.get("steps", 0))
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(REFUSED.sub("_", key), value, now, step) for key, value in tracked.metrics.items()],
        tags=[RunTag(key, value) for key, value in {MODEL: tracked.model, **tracked.tags}.items()],
    )
    return str(run.info.run_id)


def find_run(client: Any, experiment: str, tracked: Tracked) -> Any:
    """The newest run that trained the model, else that of its evaluations before, else a new one."""
    for tag, value in ((RUN_OF, tracked.training_run), (MODEL, tracked.model)):
        query = f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'"
        found = client.search_runs([experiment], query, max_results=1) if value else []  # newest first
        if found:
            return found[0]
    run = client.create_run(experiment, run_name=f"evaluation of model {tracked.model[:12]}")
    client.set_terminated(run.info.run_id, "FINISHED")
    return run


def main() -> None:
    """Log the document on standard input; one line on standard error when that fails."""
    signal.alarm(LIMIT_S)
    os.nice(10)
    tracked = msgspec.json.decode(sys.stdin.buffer.read(), type=Tracked)
    try:
        with held(Path(sys.argv[1])):
            log_evaluation(tracked)
    except Exception as error:  # noqa: BLE001  the edge of this process: nobody waits for it
        sys.exit(f"tracking at {tracked.uri} failed, nothing else did: {type(error).__name__}: {error}"[:300])


if __name__ == "__main__":
    main()
