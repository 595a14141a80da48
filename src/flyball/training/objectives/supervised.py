"""Supervised: answers are learned, given what was asked in the chat template. From scratch and by fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flyball.data.rows import Row
from flyball.training.collation import by_length, collate
from flyball.training.examples import Example, make_examples, require_enough
from flyball.training.objectives.next_token import NextToken
from flyball.training.objectives.objective import Prepared

MEASURED_AT_ONCE = 64
"""Rows."""


class Supervised(NextToken):
    """The tokens of every answer of an assistant, those of requests only as what was asked."""

    name = "supervised"

    @classmethod
    def asked(cls, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows as they are."""
        return rows

    def prepare(self, rows: Iterable[Row], most: int) -> Prepared[Example]:
        """An example for each labelled row that fits; the others are counted."""
        found = make_examples(rows, render=self.learner.render, context=self.learner.context, most=most)
        counts = {
            "rows": len(found.items),
            "rows_truncated": found.truncated,
            "rows_too_long": found.too_long,
            "rows_refused": found.refused,
            "rows_unlabelled": found.unlabelled,
        }
        return Prepared(items=found.items, counts=counts, refusal=found.refusal)

    def require_enough(self, training: Prepared[Example]) -> None:
        """InputError where the labelled rows do not fill one batch."""
        require_enough(
            len(training.items),
            batch_size=self.config.batch_size,
            refused=training.counts["rows_refused"],
            refusal=training.refusal,
            none="no training row has a label",
        )

    def seen(self, ids: Tensor, part: Sequence[Example]) -> Tensor:
        """Without some words of the prompts, where markers and words are apart."""
        first = self.learner.first_word
        if first is None or not self.config.word_dropout:
            return ids
        return without_words(ids, part, share=self.config.word_dropout, first_word=first)

    def measure(self, model: nn.Module, items: Sequence[Example]) -> dict[str, float]:
        """Mean loss per answer token, and the share of rows whose every answer token is the most likely one."""
        model.eval()
        total = tokens = exact = 0.0
        for batch in by_length(items, length=self.length, size=MEASURED_AT_ONCE):
            ids, positions, targets = collate(batch)
            with torch.inference_mode():
                logits = model(ids, positions)
                total += F.cross_entropy(logits, targets, reduction="sum").item()
            tokens += len(targets)
            right = (logits.argmax(-1) == targets).split([example.targets for example in batch])
            exact += sum(bool(part.all()) for part in right)
        return {"loss": total / tokens, "exact_match": exact / len(items)}


def without_words(ids: Tensor, batch: Sequence[Example], *, share: float, first_word: int) -> Tensor:
    """Ids with a random `share` of the prompts' words (ids from `first_word` on) replaced by padding.

    A model that never sees quite the same text twice learns to do without any one word (word dropout, Iyyer 2015).
    """
    in_prompt = torch.ones(ids.shape, dtype=torch.bool)
    for row, example in enumerate(batch):
        for begin, end in example.learned:
            in_prompt[row, begin:end] = False
    dropped = (torch.rand(ids.shape) < share) & in_prompt & (ids >= first_word)
    return ids.masked_fill(dropped, 0)
