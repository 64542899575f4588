"""One conversation being answered: its settings, its tokens, and the text that is certain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from ftctl_worker.serving.replies import TokenLogprob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ftctl_worker.forms.constraint import Constraint

__all__ = ["RowState"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_TAIL = 8


@dataclass
class RowState:
    """One conversation being answered.

    ``emit`` gets each piece of text as soon as it is certain, and what is known of its tokens;
    ``is_cancelled`` is asked after every token. ``top_logprobs`` None keeps no log probabilities.
    ``slot`` names the adapter; ``known`` counts the prompt's tokens that were not computed anew;
    ``constraint`` says which tokens may come next. ``bias`` is added to the logits of tokens by
    id; the penalties are taken from those that the answer holds, ``frequency`` for each time.
    ``hidden`` tokens are no part of the text; None for all special ones.
    """

    ids: list[int]
    max_new: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    emit: Callable[[str, tuple[TokenLogprob, ...]], None]
    is_cancelled: Callable[[], bool]
    new_ids: list[int] = field(default_factory=list)
    finish_reason: Literal["stop", "length"] | None = None
    top_logprobs: int | None = None
    slot: str = ""
    known: int = 0
    constraint: Constraint | None = None
    bias: Mapping[int, float] = field(default_factory=dict)
    frequency_penalty: float = 0
    presence_penalty: float = 0
    hidden: frozenset[int] | None = None
    _logprobs: list[TokenLogprob] = field(default_factory=list)
    _emitted: int = 0
    _generator: torch.Generator | None = None
    _settled: str = ""
    _anchor: int = 0
    _overlap: int = 0

    @property
    def is_adjusted(self) -> bool:
        """Whether a client wants more or less of some tokens."""
        return bool(self.bias or self.frequency_penalty or self.presence_penalty)

    def adjust(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (vocabulary,) with the bias added and the penalties taken."""
        logits = logits.clone()
        if self.new_ids:
            said = torch.tensor(self.new_ids, device=logits.device)
            ids, counts = said.unique(return_counts=True)
            logits[ids] -= self.frequency_penalty * counts + self.presence_penalty
        for token, more in self.bias.items():
            logits[token] += more
        return logits

    def pick(self, logits: torch.Tensor) -> int:
        """Choose a token from logits of shape (vocabulary,)."""
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.seed)
        weights = torch.softmax(logits.cpu() / self.temperature, -1)
        if self.top_p < 1:
            ordered, places = weights.sort(descending=True)
            beyond = ordered.cumsum(-1) - ordered > self.top_p
            weights[places[beyond]] = 0
        return int(torch.multinomial(weights, 1, generator=self._generator))

    def accept(self, token: int, tokenizer: Any, eos_ids: frozenset[int]) -> None:
        """Take the next token, emit what is certain, and see whether the answer ends."""
        self.new_ids.append(token)
        text = self._text(tokenizer)
        if token in eos_ids or self.is_cancelled():
            self._finish("stop", text)
            return
        if (cut := _first(text, self.stop)) is not None:
            self._finish("stop", text[:cut])
        elif self._is_complete(token):
            self._finish("stop", text)
        elif len(self.new_ids) >= self.max_new:
            self._finish("length", text)
        else:
            self._emit(text[: _certain(text, self.stop)])

    def _is_complete(self, token: int) -> bool:
        if self.constraint is None:
            return False
        self.constraint.accept(token)
        return self.constraint.is_complete or self.constraint.trouble is not None

    def note(
        self, token: int, logits: torch.Tensor, tokenizer: Any, eos_ids: frozenset[int]
    ) -> None:
        """Keep the log probabilities of a token, where they were asked for."""
        if self.top_logprobs is None or token in eos_ids:
            return
        likely = torch.log_softmax(logits, -1)
        values, ids = likely.topk(max(1, self.top_logprobs))
        top = [
            (tokenizer.decode([one]), value)
            for one, value in zip(ids.tolist(), values.tolist(), strict=True)
        ][: self.top_logprobs]
        text = tokenizer.decode([token])
        self._logprobs.append(TokenLogprob(text, float(likely[token]), tuple(top)))

    def _text(self, tokenizer: Any) -> str:
        """Return the whole text, of which only the last tokens are decoded anew."""
        tail = self._decode(tokenizer, self.new_ids[self._anchor :])
        text: str = self._settled + tail[self._overlap :]
        if len(self.new_ids) - self._anchor >= 2 * _TAIL and not tail.endswith(_REPLACEMENT):
            self._anchor = len(self.new_ids) - _TAIL
            end = self._decode(tokenizer, self.new_ids[self._anchor :])
            self._settled, self._overlap = text, len(end)
        return text

    def _decode(self, tokenizer: Any, ids: Sequence[int]) -> str:
        if self.hidden is not None:
            ids = [token for token in ids if token not in self.hidden]
        text: str = tokenizer.decode(ids, skip_special_tokens=self.hidden is None)
        return text

    def _finish(self, reason: Literal["stop", "length"], text: str) -> None:
        self.finish_reason = reason
        self._emit(text)
        if self._logprobs:
            self.emit("", tuple(self._logprobs))
            self._logprobs.clear()

    def _emit(self, text: str) -> None:
        if len(text) > self._emitted:
            self.emit(text[self._emitted :], tuple(self._logprobs))
            self._logprobs.clear()
            self._emitted = len(text)


def _first(text: str, stops: tuple[str, ...]) -> int | None:
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return min(found, default=None)


def _certain(text: str, stops: tuple[str, ...]) -> int:
    """Return how much of ``text`` no later token can change or turn into a stop string."""
    end = len(text.rstrip(_REPLACEMENT))
    for stop in stops:
        for size in range(min(len(stop) - 1, end), 0, -1):
            if text[:end].endswith(stop[:size]):
                end -= size
                break
    return end
