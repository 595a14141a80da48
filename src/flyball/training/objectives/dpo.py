"""Direct preference optimisation: preferred answers become likelier than rejected ones (Rafailov et al. 2023).

The loss of a pair is -log σ(β · ((π_c - r_c) - (π_r - r_r))): log-probabilities of the chosen and the rejected answer,
each given the same request, under the model (π) and under the reference (r), which is the model before its first step:
with adapters, the base without them. Nothing is dropped out, so that both are of the same network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flyball.data.rows import Row
from flyball.errors import InputError
from flyball.telemetry import Progress, log, quiet
from flyball.training.collation import by_length, collate
from flyball.training.examples import Example, Refusal, require_enough
from flyball.training.objectives.objective import Keep, Objective, Prepared, State

MEASURED_AT_ONCE = 8
"""Pairs, where no `micro_batch` says how many fit: logits of all their answers' tokens are held."""
CURE = "name the column of rejected answers in data.sources fields.rejected, or use train.objective: supervised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One request with both answers, of which only the answers count; `reference`: their log-probabilities."""

    chosen: Example
    rejected: Example
    reference: tuple[float, float] = (0.0, 0.0)


class Dpo(Objective[Pair]):
    """Pairs of a preferred and a rejected answer to one request."""

    name = "dpo"
    rates: ClassVar[Mapping[str, float]] = {"finetune": 1e-6, "lora": 1e-5}
    step_metrics = ("reward_margin", "preference_accuracy")
    dropout = False

    @classmethod
    def asked(cls, rows: Sequence[Row]) -> Sequence[Row]:
        """The pairs with the longer of their answers; InputError where no row has two."""
        pairs = [row for row in rows if is_pair(row)]
        if not pairs:
            raise InputError(f"none of the {len(rows)} training rows has a rejected answer", cure=CURE)
        return [replace(row, label=max(row.label or "", row.rejected or "", key=len)) for row in pairs]

    def prepare(self, rows: Iterable[Row], most: int) -> Prepared[Pair]:
        """A pair for each row with two answers that fit; the others are counted."""
        items: list[Pair] = []
        refusals: list[str] = []
        single = truncated = too_long = 0
        for row in rows:
            if not is_pair(row):
                single += 1
                continue
            chosen, rejected = (self._answered(row, answer, most) for answer in (row.label, row.rejected))
            if isinstance(chosen, Refusal) or isinstance(rejected, Refusal):
                refusals += [one.reason for one in (chosen, rejected) if isinstance(one, Refusal)][:1]
            elif max(len(chosen.ids), len(rejected.ids)) > self.learner.context:
                too_long += 1
            else:
                truncated += chosen.shortened
                items.append(Pair(chosen=chosen, rejected=rejected))
        counts = {
            "rows": len(items),
            "rows_truncated": truncated,
            "rows_too_long": too_long,
            "rows_refused": len(refusals),
            "rows_without_rejected": single,
        }
        return Prepared(items=tuple(items), counts=counts, refusal=refusals[0] if refusals else "")

    def require_enough(self, training: Prepared[Pair]) -> None:
        """InputError where the pairs do not fill one batch; a warning that counts rows without a rejected answer."""
        if single := training.counts["rows_without_rejected"]:
            log.warning("%d training rows have no rejected answer and are left out; %s", single, CURE)
        require_enough(
            len(training.items),
            batch_size=self.config.batch_size,
            refused=training.counts["rows_refused"],
            refusal=training.refusal,
            none=f"no pair of answers fits {self.learner.context} tokens",
        )

    def before(self, items: Sequence[Pair], name: str, *, keep: Keep, progress: Progress) -> Sequence[Pair]:
        """The pairs with the reference's log-probabilities, which are computed once."""

        def compute() -> State:
            return {"pairs": self.log_probabilities_of(self.learner.model, items, progress=progress)}

        kept = keep(f"reference-{name}", compute)["pairs"]
        return [
            replace(item, reference=(chosen, rejected))
            for item, (chosen, rejected) in zip(items, kept.tolist(), strict=True)
        ]

    def sequences(self, item: Pair) -> tuple[Example, ...]:
        """Chosen and rejected."""
        return (item.chosen, item.rejected)

    def weight(self, batch: Sequence[Pair]) -> int:
        """Pairs."""
        return len(batch)

    def loss(self, model: nn.Module, part: Sequence[Pair]) -> tuple[Tensor, Mapping[str, float]]:
        """The mean over pairs; the mean margin of rewards, and the share of pairs whose margin is above 0."""
        margins = self._margins(log_probabilities(model, part), part)
        loss = -F.logsigmoid(margins).mean()
        margins = margins.detach()
        return loss, {
            "reward_margin": margins.mean().item(),
            "preference_accuracy": (margins > 0).float().mean().item(),
        }

    def measure(self, model: nn.Module, items: Sequence[Pair]) -> dict[str, float]:
        """Loss, margin and accuracy as in training; how often the chosen answer is the likelier, now and before."""
        found = self.log_probabilities_of(model, items)
        margins = self._margins(found, items)
        before = torch.tensor([item.reference for item in items])
        return {
            "loss": -F.logsigmoid(margins).mean().item(),
            "reward_margin": margins.mean().item(),
            "preference_accuracy": (margins > 0).float().mean().item(),
            "chosen_likelier": (found[:, 0] > found[:, 1]).float().mean().item(),
            "chosen_likelier_before": (before[:, 0] > before[:, 1]).float().mean().item(),
        }

    def log_probabilities_of(self, model: nn.Module, items: Sequence[Pair], *, progress: Progress = quiet) -> Tensor:
        """Log-probabilities (pairs, 2) of both answers, without gradients."""
        model.eval()
        found, done = torch.zeros(len(items), 2), 0
        with torch.inference_mode():
            for part in by_length(
                range(len(items)),
                length=lambda number: self.length(items[number]),
                size=self.config.micro_batch or MEASURED_AT_ONCE,
            ):
                found[part] = log_probabilities(model, [items[number] for number in part])
                done += len(part)
                progress("log-probabilities of the model as it is", done, len(items))
        return found

    def _answered(self, row: Row, answer: str | None, most: int) -> Example | Refusal:
        """The request and this answer, which alone counts."""
        example = self.learner.render(replace(row, label=answer), most)
        return example if isinstance(example, Refusal) else replace(example, learned=example.learned[-1:])

    def _margins(self, found: Tensor, pairs: Sequence[Pair]) -> Tensor:
        """β times how much further apart the answers are than under the reference (Rafailov et al. 2023, eq. 7)."""
        rewards = self.config.dpo.beta * (found - torch.tensor([pair.reference for pair in pairs]))
        return rewards[:, 0] - rewards[:, 1]


def is_pair(row: Row) -> bool:
    """Whether a row has a preferred and a rejected answer."""
    return row.label is not None and row.rejected is not None


def log_probabilities(model: nn.Module, pairs: Sequence[Pair]) -> Tensor:
    """Log-probabilities (pairs, 2) of the chosen and the rejected answers, each the sum over its tokens."""
    sequences = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    ids, positions, targets = collate(sequences)
    tokens = -F.cross_entropy(model(ids, positions), targets, reduction="none")
    sums = torch.stack([answer.sum() for answer in tokens.split([one.targets for one in sequences])])
    return sums.view(2, len(pairs)).T
