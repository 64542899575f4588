"""The rows of a job's files, and what the ledger has to hear about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from ftctl_worker.errors import TrainingDataError
from ftctl_worker.graders.grader import names_in
from ftctl_worker.queue.dataset import read_examples, read_items, read_preferences
from ftctl_worker.training.forms import form_of
from ftctl_worker.training.objective import Pair
from ftctl_worker.training.rendering import RowCounts, prompt_text, render_rows, row_of
from ftctl_worker.training.rewards import Prompt

if TYPE_CHECKING:
    from ftctl_worker.graders.grader import Grader
    from ftctl_worker.home import Home
    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.queue.dataset import Item
    from ftctl_worker.training.ledger import Ledger
    from ftctl_worker.training.rendering import Row

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
                of_pair = RowCounts()
                sides = [
                    row_of(
                        side,
                        self.loaded.tokenizer,
                        max_length=self.longest,
                        eos_ids=set(self.loaded.eos_ids),
                        counts=of_pair,
                    )
                    for side in (example.preferred, example.other)
                ]
                counts.toolless += of_pair.toolless > 0
                if sides[0] is None or sides[1] is None:
                    counts.skipped += 1
                    continue
                counts.truncated += of_pair.truncated > 0
                pairs.append(Pair(sides[0], sides[1]))
            if not pairs:
                raise TrainingDataError(
                    f"No example has two answers within {self.longest} tokens; shorten what stands "
                    "before them."
                )
        except TrainingDataError as error:
            error.param = param
            raise
        self._tell(param, counts)
        return pairs

    def prompts(
        self, file_id: str, param: str, *, grader: Grader, room: int, response_format: Any = None
    ) -> list[Prompt]:
        """Return the prompts that leave ``room`` tokens for an answer, like :meth:`rows`."""
        counts = RowCounts()
        prompts = []
        shortest = 1 << 40
        try:
            for item in read_items(self.home.file(file_id)):
                _check_fields(item, grader)
                ids = self._prompt(item)
                shortest = min(shortest, len(ids))
                if len(ids) + room <= self.longest:
                    form = form_of(item, response_format, self.loaded)
                    prompts.append(Prompt(ids, item.row, form))
                else:
                    counts.skipped += 1
            if not prompts:
                fewer = ", or give a smaller max_completion_tokens"
                raise TrainingDataError(
                    f"The shortest prompt has {shortest:,} tokens, which leaves no {room} of "
                    f"{self.longest:,} for an answer; shorten the prompts"
                    f"{fewer if shortest < self.longest else ''}."
                )
        except TrainingDataError as error:
            error.param = param
            raise
        if counts.skipped:
            text = f"{param}: {_some(counts.skipped, 'prompt')} left out, too long for an answer "
            self.ledger.say(f"{text}of {room} tokens within {self.longest:,}", level="warn")
        return prompts

    def _prompt(self, item: Item) -> list[int]:
        tokenizer = self.loaded.tokenizer
        messages = [{k: v for k, v in m.items() if k != "weight"} for m in item.messages]
        try:
            text = prompt_text(tokenizer, messages, item.tools)
        except (TemplateError, TypeError, ValueError) as error:
            message = f"the model's chat template refuses the messages: {error}"
            raise TrainingDataError(message, line=item.line) from error
        ids: list[int] = tokenizer([text], add_special_tokens=False)["input_ids"][0]
        return ids

    def _tell(self, param: str, counts: RowCounts) -> None:
        limit = f"{self.longest:,} tokens"
        if self.longest < self.loaded.context:
            limit += f" (max_length may be up to {self.loaded.context:,})"
        if counts.truncated:
            text = f"{param}: {_some(counts.truncated, 'example')} cut off after {limit}"
            self.ledger.say(text, level="warn")
        if counts.skipped:
            some = _some(counts.skipped, "example")
            text = f"{param}: {some} left out, without an answer within {limit}"
            self.ledger.say(text, level="warn")
        if counts.toolless:
            text = (
                f"{param}: the model's chat template does not show the tools of "
                f"{_some(counts.toolless, 'example')}, so the model will not read what it may call"
            )
            self.ledger.say(text, level="warn")


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _check_fields(item: Item, grader: Grader) -> None:
    """Make sure that the row has what the grader names, before anything is computed."""
    for template in grader.templates:
        for name in names_in(template):
            scope, _, rest = name.partition(".")
            field = re.split(r"[.\[\]]", rest)[0]
            if scope == "item" and field not in item.row:
                raise TrainingDataError(
                    f"the grader '{grader.name}' names {name}, but the row has no '{field}'",
                    line=item.line,
                )
