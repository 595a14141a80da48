"""The preparation of a release's requests: the steps that rows had, and the model's control tokens. I/O: reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flyball.data.cleaning import preparation_of
from flyball.inference.preparation import TextPreparer
from flyball.records import DatasetVersion, ModelVersion, Preparation
from flyball.registry.control_tokens import control_tokens
from flyball.settings import Settings


def preparation_for(
    settings: Settings,
    *,
    model: ModelVersion,
    model_dir: Path,
    dataset: DatasetVersion | None,
    max_characters: int | None = None,
) -> Preparation:
    """What a release of `model` does to texts. Markup goes where a source says that it is HTML, or rows held some."""
    data = settings.data
    stripped = dataset is not None and bool(dataset.changed.get("markup"))
    markup = stripped or any((source.markup or data.clean.strip_markup) in ("html", True) for source in data.sources)
    steps = preparation_of(data.clean, task=settings.task, markup=markup)
    return Preparation(
        version=steps.version,
        steps=steps.steps,
        control_tokens=control_tokens(model_dir, model.chat_template),
        max_characters=max_characters,
    )


def in_prepared(question: Callable[[str], bool], preparation: Preparation | None) -> Callable[[str], bool]:
    """`question` asked of a text as the model read it: what monitoring knows comes from prepared rows."""
    if preparation is None:
        return question
    prepare = TextPreparer(preparation)
    return lambda text: question(prepare(text)[0])
