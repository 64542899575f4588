"""All weights of a small model trained, and kept as a model folder of their own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker.durable import publish

if TYPE_CHECKING:
    from pathlib import Path

    import torch

__all__ = ["Whole", "unfreeze"]

_CARD = """\
---
base_model: {base}
library_name: transformers
tags: [fine-tuned]
---
# {name}

All weights of `{base}`, fine-tuned by ftctl-worker in job `{job}`. The licence of the base model
holds for it, too.

| | |
|---|---|
| steps | {step} |
| training loss of the last step | {loss:.4f} |

Load it with `transformers.AutoModelForCausalLM.from_pretrained(this_folder)`, or ask the worker
that made it for the model `{name}`.
"""


def unfreeze(model: Any) -> int:
    """Let every weight be trained, and return how many numbers that are."""
    model.requires_grad_(True)
    return sum(value.numel() for value in model.parameters())


@dataclass(frozen=True)
class Whole:
    """A model whose every weight is trained, and its tokenizer."""

    model: Any
    tokenizer: Any

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """Return what is trained, by name in a stable order; tied weights once."""
        return dict(sorted(self.model.named_parameters()))

    def save(
        self, folder: Path, *, base: str, name: str, job_id: str, step: int, loss: float
    ) -> None:
        """Write weights, tokenizer and card; the folder appears complete."""
        draft = folder.with_name(f".{folder.name}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        try:
            self.model.save_pretrained(draft)
            self.tokenizer.save_pretrained(draft)
            card = _CARD.format(base=base, name=name, job=job_id, step=step, loss=loss)
            (draft / "README.md").write_text(card, encoding="utf-8")
        except Exception:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        publish(draft, folder)
