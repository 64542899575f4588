"""Answers drawn from the model under training, as exact samples: temperature 1, nothing cut off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker.forms.constraint import Constraints
from ftctl_worker.training.forms import Forms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.models.loading import LoadedBase

__all__ = ["Answer", "Sampler"]


@dataclass(frozen=True)
class Answer:
    """The token ids of an answer, its end among them, and for each whether there was a choice."""

    ids: list[int]
    chosen: list[bool]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Answers prompts with ``model``, with at most ``most`` new tokens each.

    ``tokens`` bounds prompts and answers of one batch together.
    """

    model: Any
    loaded: LoadedBase
    most: int
    tokens: int

    @torch.no_grad()
    def __call__(
        self,
        prompts: Sequence[list[int]],
        forms: Sequence[str | None],
        *,
        greedy: bool = False,
    ) -> list[Answer]:
        """Return one answer for each prompt, held to its grammar among ``forms``."""
        answers: dict[int, Answer] = {}
        training = self.model.training
        self.model.eval()
        try:
            for numbers in self._batches(prompts):
                some = [prompts[number] for number in numbers]
                found = self._generate(some, [forms[number] for number in numbers], greedy=greedy)
                answers |= zip(numbers, found, strict=True)
        finally:
            self.model.train(training)
        return [answers[number] for number in range(len(prompts))]

    def texts(self, answers: Sequence[Answer]) -> list[str]:
        """Return the answers as text, without what ends them."""
        ids = [answer.ids for answer in answers]
        texts: list[str] = self.loaded.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return texts

    def _batches(self, prompts: Sequence[list[int]]) -> list[list[int]]:
        batches: list[list[int]] = []
        for number in sorted(range(len(prompts)), key=lambda at: len(prompts[at]), reverse=True):
            width = len(prompts[batches[-1][0]]) + self.most if batches else 0
            if batches and (len(batches[-1]) + 1) * width <= self.tokens:
                batches[-1].append(number)
            else:
                batches.append([number])
        return batches

    @cached_property
    def _constraints(self) -> Constraints:
        return Constraints(self.loaded)

    def _generate(
        self, prompts: Sequence[list[int]], forms: Sequence[str | None], *, greedy: bool
    ) -> list[Answer]:
        width = max(map(len, prompts))
        held = self._held(forms, width) if any(forms) else None
        pad = self.loaded.pad_id
        ids = torch.tensor([[pad] * (width - len(one)) + one for one in prompts])
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts])
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.loaded.is_half):
            out = self.model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=self.most,
                eos_token_id=sorted(self.loaded.eos_ids) or None,
                pad_token_id=pad,
                use_cache=True,
                logits_processor=None if held is None else [held],
                **({"do_sample": False} if greedy else _EXACT),
            )
        answers = [self._ended(answer) for answer in out[:, width:].tolist()]
        if held is None:
            return [Answer(ids, [True] * len(ids)) for ids in answers]
        return [
            Answer(ids, chosen[: len(ids)])
            for ids, chosen in zip(answers, held.choices, strict=True)
        ]

    def _held(self, forms: Sequence[str | None], width: int) -> Forms:
        held = [None if form is None else self._constraints.start(form) for form in forms]
        return Forms(held, width, self.loaded.eos_ids)

    def _ended(self, answer: list[int]) -> list[int]:
        for place, token in enumerate(answer):
            if token in self.loaded.eos_ids:
                return answer[: place + 1]
        return answer


_EXACT = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
