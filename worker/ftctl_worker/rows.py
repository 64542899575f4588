"""The rows of a job's files, and what the ledger has to hear about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftctl_worker.dataset import read_examples, read_preferences
from ftctl_worker.errors import TrainingDataError
from ftctl_worker.objective import Pair
from ftctl_worker.rendering import RowCounts, render_rows, row_of

if TYPE_CHECKING:
    from ftctl_worker.home import Home
    from ftctl_worker.ledger import Ledger
    from ftctl_worker.loading import LoadedBase
    from ftctl_worker.rendering import Row

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """Turns files into token rows of at most ``longest`` tokens."""

    loaded: LoadedBase
    longest: int
    home: Home
    ledger: Ledger

    def rows(self, file_id: str, param: str) -> list[Row]:
        """Return the rows of a file of chats.

        Raises:
            TrainingDataError: the file cannot be used; knows ``param``.
        """
        try:
            rows, counts = render_rows(
                read_examples(self.home.file(file_id)),
                self.loaded.tokenizer,
                max_length=self.longest,
                eos_ids=set(self.loaded.eos_ids),
            )
        except TrainingDataError as error:
            error.param = param
            raise
        self._tell(param, counts)
        return rows

    def pairs(self, file_id: str, param: str) -> list[Pair]:
        """Return the pairs of a file of preferences, like :meth:`rows`."""
        counts = RowCounts()
        pairs = []
        try:
            for example in read_preferences(self.home.file(file_id)):
                sides = [
                    row_of(
                        side,
                        self.loaded.tokenizer,
                        max_length=self.longest,
                        eos_ids=set(self.loaded.eos_ids),
                        counts=counts,
                    )
                    for side in (example.preferred, example.other)
                ]
                if sides[0] is not None and sides[1] is not None:
                    pairs.append(Pair(sides[0], sides[1]))
            if not pairs:
                raise TrainingDataError(f"No example has two answers within {self.longest} tokens.")
        except TrainingDataError as error:
            error.param = param
            raise
        self._tell(param, counts)
        return pairs

    def _tell(self, param: str, counts: RowCounts) -> None:
        limit = f"{self.longest} tokens"
        if counts.truncated:
            text = f"{param}: {counts.truncated} examples are longer than {limit} and were cut off"
            self.ledger.say(text, level="warn")
        if counts.skipped:
            text = f"{param}: {counts.skipped} examples have no answer within {limit}; left out"
            self.ledger.say(text, level="warn")
