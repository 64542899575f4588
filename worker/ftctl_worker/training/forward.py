"""The forward pass of training: what a batch costs, and how much of it was right."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel

from ftctl_worker.training.label_loss import costs_of, costs_of_logits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from ftctl_worker.training.batches import Batch
    from ftctl_worker.training.llama import Lean

__all__ = ["Forward", "OwnersSums", "Sums"]


@dataclass
class Sums:
    """Loss, correct tokens and label tokens, added up over passes."""

    loss: float = 0.0
    correct: int = 0
    labels: int = 0

    @property
    def mean_loss(self) -> float:
        """Loss per label token in nats."""
        return self.loss / self.labels

    @property
    def accuracy(self) -> float:
        """Share of label tokens that the model ranks first."""
        return self.correct / self.labels


@dataclass(frozen=True)
class OwnersSums:
    """Loss in nats, with its graph, and correct tokens; both of shape (owners,)."""

    loss: torch.Tensor
    correct: torch.Tensor


class Forward:
    """Runs a batch and sums its loss, with logits only where a token is learned."""

    def __init__(
        self, model: Any, *, half: bool, packs: bool = False, lean: Lean | None = None
    ) -> None:
        """Work with a ``model``, of peft or plain; ``half`` where its base is in bf16.

        With ``packs`` the rows of a batch are read as one, without what fills them up; for
        attention that knows from the positions where a row begins, as that of FlashAttention does.
        ``lean`` stands in for the decoder of the model.
        """
        self._model = model
        self._causal: Any = _without_adapter(model)
        self._decoder = getattr(self._causal, self._causal.base_model_prefix, None)
        self._head = self._causal.get_output_embeddings()
        self._half = half
        self._packs = packs
        self._lean = lean
        self._device = next(model.parameters()).device
        self._direct = self._head_is_plain()

    def __call__(self, batch: Batch, sums: Sums) -> torch.Tensor:
        """Return the summed loss of a batch, in nats, and add what was seen to ``sums``."""
        losses, right, _ = self._costs(batch)
        loss = losses.sum()
        total, correct = torch.stack((loss.detach(), right.sum())).tolist()
        sums.loss += total
        sums.correct += int(correct)
        sums.labels += batch.labels
        return loss

    def by_owner(self, batch: Batch, owners: Sequence[int], count: int) -> OwnersSums:
        """Return what a batch costs each of ``count`` owners; row n belongs to ``owners[n]``."""
        losses, right, row_of_label = self._costs(batch)
        owner_of_label = torch.tensor(owners, device=losses.device)[row_of_label]
        zeros = losses.new_zeros(count)
        return OwnersSums(
            loss=zeros.index_add(0, owner_of_label, losses),
            correct=zeros.index_add(0, owner_of_label, right.to(losses.dtype)),
        )

    def log_likelihoods(self, batch: Batch) -> torch.Tensor:
        """Return the log-likelihood of what each row learns, in nats, of shape (rows,)."""
        losses, _, row_of_label = self._costs(batch)
        return losses.new_zeros(len(batch.ids)).index_add(0, row_of_label, -losses)

    def reference(self) -> AbstractContextManager[None]:
        """Return a context in which the model is the base alone.

        A model without an adapter is that only before its first step, which is when it is asked.
        """
        if not isinstance(self._model, PeftModel):
            return nullcontext()
        if self._lean is not None:
            return self._lean.without_adapters()
        context: AbstractContextManager[None] = self._model.disable_adapter()
        return context

    def _costs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the loss of each label, whether it is ranked first, and its row."""
        batch = batch.to(self._device)
        wanted = batch.learned[:, 1:]
        targets = batch.ids[:, 1:][wanted]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            if self._direct:
                losses, right = costs_of(self._head, self._states(batch, wanted), targets)
            else:
                every = self._causal(input_ids=batch.ids, use_cache=False).logits
                losses, right = costs_of_logits(every[:, :-1][wanted], targets)
        return losses, right, wanted.nonzero()[:, 0]

    def _states(self, batch: Batch, wanted: torch.Tensor) -> torch.Tensor:
        """Return the states before each token that is learned."""
        if self._lean is not None:
            return self._lean.states(batch)
        # Padding stands at the end and attention is causal, so no mask is needed.
        hidden = self._packed(batch) if self._packs else self._hidden(input_ids=batch.ids)
        return hidden[:, :-1][wanted]

    def _hidden(self, **inputs: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self._decoder(**inputs, use_cache=False).last_hidden_state  # type: ignore[misc]
        return states

    def _packed(self, batch: Batch) -> torch.Tensor:
        """Return the hidden states of a batch that is read as one row, as of padded rows."""
        real = batch.real
        places = torch.arange(real.shape[1], device=real.device).expand_as(real)[real]
        found = self._hidden(input_ids=batch.ids[real][None], position_ids=places[None])
        states = found.new_zeros(*real.shape, found.shape[-1])
        return states.masked_scatter(real[..., None], found)

    @torch.no_grad()
    def _head_is_plain(self) -> bool:
        """Check that nothing but the head lies between hidden states and logits."""
        if self._decoder is None or self._head is None:
            return False
        ids = torch.arange(8, device=self._device)[None]
        whole = self._causal(input_ids=ids, use_cache=False).logits
        ours = self._head(self._decoder(input_ids=ids, use_cache=False).last_hidden_state)
        return whole.shape == ours.shape and torch.allclose(whole, ours.to(whole.dtype))


def _without_adapter(model: Any) -> Any:
    return model.get_base_model() if isinstance(model, PeftModel) else model
