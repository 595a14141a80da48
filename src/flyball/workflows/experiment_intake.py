"""What `dvc exp run` built, taken into the ledger under its name. I/O: git, DVC's cache, ledger, .flyball."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from flyball.dvc.experiments import Experiment, cached, experiments, link_output, usual_cache
from flyball.errors import FlyballError, NotFoundError
from flyball.records import Release, name_of
from flyball.records.record_files import read_document
from flyball.storage.ledger import EXPERIMENT
from flyball.wiring import Places, Project
from flyball.workflows.record_intake import take_build

LOOKED_AT = 1000


def take_in_experiments(project: Project, say: Callable[[str], None]) -> None:
    """Records, reports, curves and models of experiments that the ledger does not have yet; what cannot be is said."""
    found = list(experiments(project.root))
    if not found:
        return
    cache = usual_cache(project.root)
    if any(not cached(cache, one.outputs["evaluation"]).is_file() for one in found):
        from flyball.dvc.objects import cache_folder  # with all that searches the cache, which lists of models need not

        cache = cache_folder(project) or cache
    taken = {stored.recorded.get(EXPERIMENT) for stored in project.ledger.find(Release, limit=LOOKED_AT)}
    for one in found:
        try:
            _take_in(project, one, cache)
        except FlyballError as error:
            if one.name not in taken:  # else DVC has cleared up what was taken in long ago
                cure = f"`dvc exp apply {one.name}`, then `flyball run` builds it again"
                say(f"experiment {one.name} is left out: {error.message}; {cure}")


def _take_in(project: Project, one: Experiment, cache: Path) -> None:
    project.places.run.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="experiment-", dir=project.places.run) as made:
        places = Places(Path(made))
        link_output(cache, one.outputs["evaluation"], places.evaluation)
        report, _ = read_document(places.evaluation / "record.json")
        if _is_known(project, name_of(report)):
            return
        for stage, name in one.outputs.items():
            link_output(cache, name, places.loop / stage)
        model, _ = read_document(places.model / "record.json")
        take_build(
            project,
            places,
            trained=getattr(model, "training_run", None) is not None,
            beside={EXPERIMENT: one.name},
        )


def _is_known(project: Project, name: str) -> bool:
    try:
        project.ledger.get(name)
    except NotFoundError:
        return False
    return True
