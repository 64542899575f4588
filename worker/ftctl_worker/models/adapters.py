"""LoRA adapters: put on a base model, saved as safetensors with a card, loaded for serving."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

from ftctl_worker.durable import publish
from ftctl_worker.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch

    from ftctl_worker.hyperparameters import TrainingDefaults

__all__ = ["ALONE", "attach", "load", "save", "trainable"]

WEIGHTS_FILE = "adapter_model.safetensors"
ALONE = "default"

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


def attach(model: Any, defaults: TrainingDefaults, name: str = ALONE) -> Any:
    """Freeze ``model`` and put fresh LoRA matrices on it; their values follow torch's seed.

    A model that has adapters gets one more, called ``name``.
    """
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
        if not isinstance(model, PeftModel):
            return get_peft_model(model, config, adapter_name=name)
        model.add_adapter(name, config)
    for key, value in model.named_parameters():
        if f".{name}." in key:
            value.requires_grad_(True)
    return model


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


def trainable(model: Any, name: str = ALONE) -> dict[str, torch.nn.Parameter]:
    """Return the parameters of an adapter in a stable order, by the names they have when alone."""
    own = {
        key.replace(f".{name}.", f".{ALONE}."): value
        for key, value in model.named_parameters()
        if value.requires_grad and f".{name}." in key
    }
    return dict(sorted(own.items()))


def save(
    model: Any,
    folder: Path,
    *,
    base: str,
    name: str,
    job_id: str,
    step: int,
    loss: float,
    adapter: str = ALONE,
    weights: Path | None = None,
) -> None:
    """Write the adapter's weights, configuration and card; the folder appears complete.

    ``weights`` is a file that has them already, where the model's own are in parts.
    """
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    try:
        if weights is None:
            _write_weights(model, draft / WEIGHTS_FILE, adapter)
        else:
            shutil.copyfile(weights, draft / WEIGHTS_FILE)
        _write(
            model.peft_config[adapter],
            draft,
            card=_CARD.format(base=base, name=name, job=job_id, step=step, loss=loss),
            base=base,
        )
    except Exception:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    publish(draft, folder)


def _write_weights(model: Any, file: Path, adapter: str) -> None:
    weights = {
        key.replace(f".{ALONE}.", "."): value.detach().to("cpu").contiguous()
        for key, value in trainable(model, adapter).items()
    }
    save_file(weights, file, metadata={"format": "pt"})


def _write(peft_config: Any, draft: Path, *, card: str, base: str) -> None:
    config = {key: _plain(value) for key, value in peft_config.to_dict().items()}
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
