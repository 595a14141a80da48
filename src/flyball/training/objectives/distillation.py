"""Distillation: a student learns the answers and how likely its teacher finds every token in their place.

The loss of a learned token is (1 - w) · cross-entropy + w · T² · KL(teacher_T ‖ student_T), both softened by the
temperature T (Hinton, Vinyals and Dean 2015). The teacher is asked once, before the first step; of its distribution the
`top_k` likeliest tokens are kept, made to sum to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flyball.errors import InputError
from flyball.telemetry import Progress
from flyball.training.collation import by_length, collate
from flyball.training.examples import Example
from flyball.training.learner import HeadWhereLearned, load_base
from flyball.training.objectives.objective import Keep, State
from flyball.training.objectives.supervised import MEASURED_AT_ONCE, Supervised


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Taught(Example):
    """An example with the teacher's logits (targets, k) of its likeliest tokens (targets, k) at each learned place."""

    logits: Tensor
    tokens: Tensor

    @property
    def likeliest(self) -> Tensor:
        """The teacher's own choice at each learned place."""
        return self.tokens[:, 0]


class Distillation(Supervised):
    """The tokens of every answer, with what the teacher says of them."""

    name = "distillation"
    step_metrics: ClassVar[tuple[str, ...]] = ("cross_entropy", "divergence")
    needs_teacher = True

    def before(self, items: Sequence[Example], name: str, *, keep: Keep, progress: Progress) -> Sequence[Example]:
        """The examples with what the teacher says of them, which is computed once."""
        if not items:
            return items
        kept = keep(f"teacher-{name}", lambda: self._ask(items, progress))
        sizes = [one.targets for one in items]
        parts = zip(items, kept["logits"].split(sizes), kept["tokens"].split(sizes), strict=True)
        return [
            Taught(one.ids, one.learned, one.shortened, logits=logits.float(), tokens=tokens.long())
            for one, logits, tokens in parts
        ]

    def loss(self, model: nn.Module, part: Sequence[Example]) -> tuple[Tensor, Mapping[str, float]]:
        """The mean over learned tokens; the means of its two halves."""
        ids, positions, targets = collate(part)
        taught = [one for one in part if isinstance(one, Taught)]
        logits, tokens = (torch.cat([getattr(one, key) for one in taught]) for key in ("logits", "tokens"))
        config = self.config.distillation
        student = model(self.seen(ids, part), positions)
        hard = F.cross_entropy(student, targets)
        soft = divergence(student, logits, tokens, temperature=config.temperature)
        loss = (1 - config.weight) * hard + config.weight * config.temperature**2 * soft
        return loss, {"cross_entropy": hard.item(), "divergence": soft.item()}

    def measure(self, model: nn.Module, items: Sequence[Example]) -> dict[str, float]:
        """As supervised; and the share of rows whose likeliest tokens are all those of the teacher."""
        figures, agreed = super().measure(model, items), 0
        for batch in by_length(items, length=self.length, size=MEASURED_AT_ONCE):
            ids, positions, _ = collate(batch)
            with torch.inference_mode():
                own = model(ids, positions).argmax(-1).split([one.targets for one in batch])
            agreed += sum(
                bool((mine == one.likeliest).all())
                for mine, one in zip(own, batch, strict=True)
                if isinstance(one, Taught)
            )
        return figures | {"teacher_agreement": agreed / len(items)}

    def _ask(self, items: Sequence[Example], progress: Progress) -> State:
        """The teacher's logits (all learned places, k) and the tokens that they are of, 6 bytes each."""
        assert self.teacher is not None
        loaded = load_base(self.teacher, self.config).eval()
        teacher, kept = HeadWhereLearned(loaded), min(self.config.distillation.top_k, loaded.config.vocab_size)
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for part in by_length(range(len(items)), length=lambda number: self.length(items[number]), size=64):
            batch = [items[number] for number in part]
            ids, positions, _ = collate(batch)
            with torch.inference_mode():
                top = teacher(ids, positions).topk(kept, dim=-1)
            sizes = [one.targets for one in batch]
            values = (top.values - top.values[:, :1]).half()  # only differences count, and near 0 they are exact
            for number, logits, tokens in zip(part, values.split(sizes), top.indices.int().split(sizes), strict=True):
                found[number] = logits, tokens
            progress("what the teacher says", len(found), len(items))
        in_order = [found[number] for number in range(len(items))]
        return {
            "logits": torch.cat([logits for logits, _ in in_order]),
            "tokens": torch.cat([tokens for _, tokens in in_order]),
        }


def divergence(student: Tensor, logits: Tensor, tokens: Tensor, *, temperature: float) -> Tensor:
    """The mean KL(teacher ‖ student) in nats of logits (n, vocabulary) from a teacher's (n, k) of `tokens`."""
    own = F.log_softmax(student / temperature, dim=-1).gather(1, tokens)
    wanted = F.log_softmax(logits / temperature, dim=-1)
    return (wanted.exp() * (wanted - own)).sum(-1).mean()


def require_same_vocabulary(teacher: Path, student: Path) -> None:
    """InputError where a token of one model folder is another token, or none, of the other."""
    ours, theirs = vocabulary_of(student), vocabulary_of(teacher)
    if ours != theirs:
        different = sum(theirs.get(token) != number for token, number in ours.items())
        raise InputError(
            f"the teacher's vocabulary has {len(theirs):,} tokens, the student's {len(ours):,}, of which {different:,} "
            "are others: probabilities of one mean nothing to the other",
            cure="use train.method: scratch, which takes the teacher's vocabulary, or a base of the teacher's family",
        )


def vocabulary_of(folder: Path) -> dict[str, int]:
    """The tokens of a model folder's tokenizer, with their ids."""
    from tokenizers import Tokenizer  # in the `train` extra only

    try:
        found: dict[str, int] = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    except Exception as error:
        raise InputError(
            f"{folder}/tokenizer.json cannot be read: {error}", cure="name a Hugging Face model folder"
        ) from error
    return found
