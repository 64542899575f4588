"""Answers under training that have to have a form, held to it as those of chats are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import LogitsProcessor

from ftctl_worker.errors import BadRequestError, TrainingDataError
from ftctl_worker.forms.answer_form import answer_grammar
from ftctl_worker.forms.call_styles import style_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import torch

    from ftctl_worker.forms.constraint import Constraint
    from ftctl_worker.models.loading import LoadedBase
    from ftctl_worker.queue.dataset import Item

__all__ = ["Forms", "form_of"]


def form_of(item: Item, response_format: Any, loaded: LoadedBase) -> str | None:
    """Return the grammar of the answers to a row, by its tools and what the job asks for.

    None where anything may be said, which is so for tools that are not strict.

    Raises:
        TrainingDataError: there is no such grammar.
    """
    try:
        grammar = answer_grammar({"response_format": response_format, "tools": item.tools})
    except BadRequestError as error:
        raise TrainingDataError(error.message, line=item.line) from error
    if grammar is None:
        return None
    return grammar.text(style_of(loaded.tokenizer))


class Forms(LogitsProcessor):
    """Forbids what the form of an answer does not allow, one constraint for each row, or none.

    ``choices`` has for each token of a row whether there was another one.
    """

    def __init__(
        self, constraints: Sequence[Constraint | None], width: int, ends: Collection[int]
    ) -> None:
        """Follow answers that begin after ``width`` tokens, and end with one of ``ends``."""
        self.choices: list[list[bool]] = [[] for _ in constraints]
        self._open = dict(enumerate(constraints))
        self._width = width
        self._ends = sorted(ends)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores of shape (rows, vocabulary) without what may not come next."""
        scores = scores.clone()
        begun = input_ids.shape[1] > self._width
        last = input_ids[:, -1].tolist()
        for number, constraint in list(self._open.items()):
            if begun and last[number] in self._ends:
                del self._open[number]
            elif constraint is None:
                self.choices[number].append(True)
            else:
                if begun:
                    constraint.accept(last[number])
                self.choices[number].append(self._hold(scores[number], constraint))
        return scores

    def _hold(self, scores: torch.Tensor, constraint: Constraint) -> bool:
        """Take from the scores of a row what may not come next; tell whether a choice is left."""
        forbidden = constraint.forbidden(len(scores))
        if constraint.is_complete or constraint.trouble is not None:
            forbidden[:] = True
            forbidden[self._ends] = False
        scores.masked_fill_(forbidden.to(scores.device), float("-inf"))
        return int((~forbidden).sum()) > 1
