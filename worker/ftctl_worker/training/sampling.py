"""Answers drawn from the model under training, as exact samples: temperature 1, nothing cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftctl_worker.models.loading import LoadedBase

__all__ = ["Sampler"]


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
    def __call__(self, prompts: Sequence[list[int]], *, greedy: bool = False) -> list[list[int]]:
        """Return the token ids of one answer for each prompt, its end among them."""
        answers: list[list[int]] = [[]] * len(prompts)
        training = self.model.training
        self.model.eval()
        try:
            for numbers in self._batches(prompts):
                found = self._generate([prompts[number] for number in numbers], greedy=greedy)
                for number, answer in zip(numbers, found, strict=True):
                    answers[number] = answer
        finally:
            self.model.train(training)
        return answers

    def texts(self, answers: Sequence[list[int]]) -> list[str]:
        """Return the answers as text, without what ends them."""
        texts: list[str] = self.loaded.tokenizer.batch_decode(answers, skip_special_tokens=True)
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

    def _generate(self, prompts: Sequence[list[int]], *, greedy: bool) -> list[list[int]]:
        width = max(map(len, prompts))
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
                **({"do_sample": False} if greedy else _EXACT),
            )
        return [self._ended(answer) for answer in out[:, width:].tolist()]

    def _ended(self, answer: list[int]) -> list[int]:
        for place, token in enumerate(answer):
            if token in self.loaded.eos_ids:
                return answer[: place + 1]
        return answer


_EXACT = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
