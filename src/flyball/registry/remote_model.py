"""A model at a server elsewhere, as a model version without files: its name there is all that is known of it. Pure.

Its weights may change behind that name without anybody here noticing: the record says so by having none.
"""

from __future__ import annotations

from flyball.inference.model_list import ServedModel
from flyball.records import ModelVersion

FORMAT = "elsewhere"


def model_elsewhere(served: ServedModel, *, project: str) -> ModelVersion:
    """The version that stands for it; releases name the server's address."""
    return ModelVersion(
        project=project,
        training_run=None,
        dataset=None,
        architecture=served.name,
        parameters=0,
        context_length=served.context,
        formats=(FORMAT,),
        files=(),
        chat_template="",
    )
