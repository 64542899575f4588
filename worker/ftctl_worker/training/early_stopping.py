"""The epoch with the lowest validation loss, and whether it is long ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftctl_worker.training.resume import Progress

__all__ = ["BestEpoch"]


class BestEpoch:
    """Follows the validation loss; ``patience`` 0 follows nothing."""

    def __init__(self, patience: int, progress: Progress, *, every: int = 1) -> None:
        """Go on from what a resumed job has seen; an epoch has ``every`` steps.

        What was evaluated within an epoch left no adapter to go back to.
        """
        self.patience = patience
        self._every = every
        self.step: int | None = None
        self._lowest = float("inf")
        self._since = 0
        for metrics in progress.metrics:
            self.see(metrics)

    @property
    def is_long_ago(self) -> bool:
        """Whether as many epochs as there is patience have passed without a better one."""
        return 0 < self.patience <= self._since

    @property
    def kept(self) -> set[int]:
        """The step whose adapter must stay."""
        return set() if self.step is None else {self.step}

    def see(self, metrics: Mapping[str, float]) -> None:
        """Take the metrics of a step; those without a validation loss change nothing."""
        loss = metrics.get("valid_loss")
        if not self.patience or loss is None or metrics["step"] % self._every:
            return
        self._since += 1
        if loss < self._lowest:
            self._lowest, self._since, self.step = loss, 0, int(metrics["step"])
