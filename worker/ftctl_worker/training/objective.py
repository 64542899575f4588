"""What is learned: answers (supervised) or preferences between two answers (DPO).

The loss of DPO is that of Rafailov et al., "Direct Preference Optimization" (2023): the reference
is the base model itself, which the model is again while its adapter is switched off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from ftctl_worker.training.batches import (
    PASS_OVERHEAD,
    PASS_OVERHEAD_PACKED,
    in_passes,
)
from ftctl_worker.training.forward import Sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.training.batches import Batch
    from ftctl_worker.training.forward import Forward
    from ftctl_worker.training.rendering import Row

__all__ = ["Answers", "Objective", "Pair", "Passes", "Preferences", "StepResult"]


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How rows become batches: no row is longer, no pass has more padded tokens."""

    longest: int
    pad_id: int
    tokens: int
    overhead: int = PASS_OVERHEAD

    def packed(self) -> Passes:
        """Return the passes of what reads rows without what fills them up, on a CPU."""
        return replace(self, overhead=PASS_OVERHEAD_PACKED)

    def of(self, rows: Sequence[Row]) -> list[Batch]:
        """Return the batches of rows, in few shapes."""
        return in_passes(
            rows,
            longest=self.longest,
            pad_id=self.pad_id,
            tokens=self.tokens,
            overhead=self.overhead,
        )


@dataclass(frozen=True)
class StepResult:
    """What one step saw: mean loss in nats, share of correct tokens or pairs, tokens."""

    loss: float
    accuracy: float
    tokens: int

    @property
    def metrics(self) -> dict[str, float]:
        """What is reported of it, by the names of the API."""
        return {
            "train_loss": round(self.loss, 6),
            "train_mean_token_accuracy": round(self.accuracy, 6),
        }


@dataclass(frozen=True)
class Pair:
    """Two answers to the same input."""

    preferred: Row
    other: Row

    @property
    def longer(self) -> Row:
        """The row that decides how much memory the pair takes."""
        return max(self.preferred, self.other, key=lambda row: len(row.ids))


class Objective(Protocol):
    """A training file as something to be learned."""

    @property
    def rows(self) -> Sequence[Row]:
        """One row per example, by whose lengths examples are batched."""
        ...

    def learn(self, numbers: Sequence[int]) -> StepResult:
        """Add the gradients of the mean loss over some examples."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Return the validation metrics over all examples, by their names in the API."""
        ...


class Answers:
    """Learns the assistant's messages."""

    def __init__(self, rows: Sequence[Row], forward: Forward, passes: Passes) -> None:
        """Learn ``rows``."""
        self.rows = rows
        self._forward = forward
        self._passes = passes

    def learn(self, numbers: Sequence[int]) -> StepResult:
        """Add the gradients of the mean loss per label token."""
        batches = self._passes.of([self.rows[number] for number in numbers])
        labels = sum(batch.labels for batch in batches)
        sums = Sums()
        for batch in batches:
            (self._forward(batch, sums) / labels).backward()
        return StepResult(sums.mean_loss, sums.accuracy, sum(batch.tokens for batch in batches))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return loss and accuracy per label token."""
        sums = Sums()
        for batch in self._passes.of(self.rows):
            self._forward(batch, sums)
        return _named(sums.mean_loss, sums.accuracy)


class Preferences:
    """Learns to rank the preferred answer above the other."""

    def __init__(
        self, pairs: Sequence[Pair], forward: Forward, passes: Passes, *, beta: float
    ) -> None:
        """Learn ``pairs``; what the reference thinks of them is computed here, once."""
        self.rows = [pair.longer for pair in pairs]
        self._pairs = pairs
        self._forward = forward
        self._passes = passes
        self._beta = beta
        self._reference = self._refer()

    def learn(self, numbers: Sequence[int]) -> StepResult:
        """Add the gradients of the mean loss per pair."""
        loss = correct = 0.0
        tokens = 0
        for some in self._groups(numbers):
            losses, margins = self._losses(some)
            (losses.sum() / len(numbers)).backward()
            loss += float(losses.detach().sum())
            correct += float((margins > 0).sum())
            tokens += sum(len(row.ids) for row in self._both(some))
        return StepResult(loss / len(numbers), correct / len(numbers), tokens)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return loss and share of right rankings per pair."""
        loss = correct = 0.0
        for some in self._groups(range(len(self._pairs))):
            losses, margins = self._losses(some)
            loss += float(losses.sum())
            correct += float((margins > 0).sum())
        return _named(loss / len(self._pairs), correct / len(self._pairs))

    def _losses(self, numbers: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        gains = self._log_likelihoods(numbers) - self._reference[:, list(numbers)]
        margins = self._beta * (gains[0] - gains[1])
        return -functional.logsigmoid(margins), margins.detach()

    def _log_likelihoods(self, numbers: Sequence[int]) -> torch.Tensor:
        """Return the log-likelihoods of both answers, of shape (2, numbers)."""
        rows = self._both(numbers)
        order = sorted(range(len(rows)), key=lambda at: len(rows[at].ids), reverse=True)
        sorted_likelihoods = [
            self._forward.log_likelihoods(batch)
            for batch in self._passes.of([rows[at] for at in order])
        ]
        back = torch.tensor(order).argsort()
        found = torch.cat(sorted_likelihoods)
        return found[back.to(found.device)].view(2, -1)

    def _both(self, numbers: Sequence[int]) -> list[Row]:
        some = [self._pairs[number] for number in numbers]
        return [pair.preferred for pair in some] + [pair.other for pair in some]

    def _groups(self, numbers: Sequence[int]) -> list[list[int]]:
        """Split examples so that both answers of a group fit into one pass."""
        groups: list[list[int]] = []
        width = 0
        for number in sorted(numbers, key=lambda at: len(self.rows[at].ids), reverse=True):
            width = width or len(self.rows[number].ids)
            if groups and 2 * (len(groups[-1]) + 1) * width <= self._passes.tokens:
                groups[-1].append(number)
            else:
                width = len(self.rows[number].ids)
                groups.append([number])
        return groups

    @torch.no_grad()
    def _refer(self) -> torch.Tensor:
        groups = self._groups(range(len(self._pairs)))
        with self._forward.reference():
            parts = [self._log_likelihoods(group) for group in groups]
        order = torch.tensor([number for group in groups for number in group]).argsort()
        found = torch.cat(parts, dim=1)
        return found[:, order.to(found.device)]


def _named(loss: float, accuracy: float) -> dict[str, float]:
    loss, accuracy = round(loss, 6), round(accuracy, 6)
    return {
        "valid_loss": loss,
        "valid_mean_token_accuracy": accuracy,
        "full_valid_loss": loss,
        "full_valid_mean_token_accuracy": accuracy,
    }
