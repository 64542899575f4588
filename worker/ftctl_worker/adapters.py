"""LoRA adapters: put on a base model, saved as safetensors with a card, loaded for serving."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

from ftctl_worker.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch

    from ftctl_worker.hyperparameters import TrainingDefaults

__all__ = ["attach", "load", "save", "trainable"]

WEIGHTS_FILE = "adapter_model.safetensors"

_CARD = """\
---
base_model: {base}
library_name: peft
tags: [lora, fine-tuned]
---
# {name}

A LoRA adapter over `{base}`, made by ftctl-worker in job `{job}`.

| | |
|---|---|
| steps | {step} |
| training loss of the last step | {loss:.4f} |

Load it with `peft.PeftModel.from_pretrained(base_model, this_folder)`, or ask the worker that
made it for the model `{name}`.
"""


def attach(model: Any, defaults: TrainingDefaults) -> Any:
    """Freeze ``model`` and put fresh LoRA matrices on it; their values follow torch's seed."""
    modules = defaults.target_modules
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=defaults.lora_r,
        lora_alpha=defaults.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=defaults.lora_dropout,
        use_rslora=defaults.use_rslora,
        use_dora=defaults.use_dora,
        target_modules=modules if isinstance(modules, str) else list(modules),
    )
    with _calm():
        return get_peft_model(model, config)


def load(model: Any, folder: Path, name: str) -> Any:
    """Put a saved adapter on ``model``, beside those it has, and return the model to use.

    Raises:
        AdapterError: the folder holds no adapter for this model.
    """
    try:
        with _calm():
            if not isinstance(model, PeftModel):
                return PeftModel.from_pretrained(model, str(folder), adapter_name=name).eval()
            model.load_adapter(str(folder), adapter_name=name)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise AdapterError(f"The adapter in {folder.name} cannot be loaded.") from error
    return model.eval()


def trainable(model: Any) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that are trained, by name and in a stable order."""
    return {name: value for name, value in sorted(model.named_parameters()) if value.requires_grad}


def save(
    model: Any, folder: Path, *, base: str, name: str, job_id: str, step: int, loss: float
) -> None:
    """Write the adapter's weights, configuration and card; the folder appears complete."""
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    weights = {
        key.replace(".default.", "."): value.detach().to("cpu").contiguous()
        for key, value in trainable(model).items()
    }
    try:
        _write(
            model,
            draft,
            weights,
            card=_CARD.format(base=base, name=name, job=job_id, step=step, loss=loss),
            base=base,
        )
    except Exception:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _write(
    model: Any, draft: Path, weights: dict[str, torch.Tensor], *, card: str, base: str
) -> None:
    save_file(weights, draft / WEIGHTS_FILE, metadata={"format": "pt"})
    config = {key: _plain(value) for key, value in model.peft_config["default"].to_dict().items()}
    config.update(base_model_name_or_path=base, inference_mode=True)
    (draft / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (draft / "README.md").write_text(card, encoding="utf-8")


@contextmanager
def _calm() -> Iterator[None]:
    """Keep quiet about what peft itself has to change for coming versions of transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, set | frozenset) else value
