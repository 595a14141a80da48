"""Text: each next token of plain texts, packed without padding. From scratch it is pre-training, on a base continued.

Texts are one stream, each closed by the token that ends an answer, and the stream is cut into sequences of the whole
context: as GPT-3 was trained (Brown et al. 2020, section 2.2 and appendix B). A sequence begins with the last token of
the one before, so that every token of the stream but the first is learned, and learned once.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flyball.data.rows import Row
from flyball.errors import InputError
from flyball.training.collation import by_length, collate
from flyball.training.examples import Example
from flyball.training.objectives.next_token import NextToken
from flyball.training.objectives.objective import Prepared

TOKENS_MEASURED_AT_ONCE = 2048
"""Where no `micro_batch` says how many sequences fit: every token has its logits."""


class Text(NextToken):
    """Every token of texts that have no answer."""

    name = "text"

    @classmethod
    def asked(cls, rows: Sequence[Row]) -> Sequence[Row]:
        """Each text as a request without an answer; InputError for rows that have answers."""
        if answered := sum(row.label is not None for row in rows):
            raise InputError(
                f"{answered} of {len(rows)} training rows have an answer, and train.objective text learns texts alone",
                cure="set label: null in data.sources fields, or use train.objective: supervised",
            )
        return [replace(row, label="", turns=None) for row in rows]

    def prepare(self, rows: Iterable[Row], most: int) -> Prepared[Example]:
        """Sequences of the context, of all rows in their order; no text is cut."""
        tokens, texts = array("i"), 0
        for row in rows:
            tokens.extend(self.learner.text(row.text))
            texts += 1
        items = tuple(packed(tokens, self.learner.context))
        return Prepared(items=items, counts={"rows": texts, "tokens": len(tokens), "sequences": len(items)})

    def require_enough(self, training: Prepared[Example]) -> None:
        """InputError where the sequences do not fill one batch."""
        found, wanted = len(training.items), self.config.batch_size
        if found < wanted:
            raise InputError(
                f"{training.counts['tokens']} tokens of text make {found} sequences of {self.learner.context}, fewer "
                f"than one batch of {wanted}",
                cure="add texts, or lower train.batch_size or train.size.context",
            )

    def seen(self, ids: Tensor, part: Sequence[Example]) -> Tensor:
        """All of them."""
        return ids

    def measure(self, model: nn.Module, items: Sequence[Example]) -> dict[str, float]:
        """Mean loss per token, and the perplexity that it means."""
        model.eval()
        size = self.config.micro_batch or max(1, TOKENS_MEASURED_AT_ONCE // self.learner.context)
        total = 0.0
        for batch in by_length(items, length=self.length, size=size):
            ids, positions, targets = collate(batch)
            with torch.inference_mode():
                total += F.cross_entropy(model(ids, positions), targets, reduction="sum").item()
        loss = total / self.weight(items)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}


def packed(tokens: array[int], context: int) -> Iterator[Example]:
    """Sequences of `context` tokens (one shorter one where there are fewer); of the last the learned part is new."""
    for begin in range(0, len(tokens) - 1, context - 1):
        first = max(0, min(begin, len(tokens) - context))
        ids = tokens[first : first + context]
        yield Example(ids, ((begin - first + 1, len(ids)),))
