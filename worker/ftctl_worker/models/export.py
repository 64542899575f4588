"""``ftctl-worker export``: a base model and an adapter as one model, in safetensors or GGUF."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import ModelError
from ftctl_worker.models.bases import Catalog

if TYPE_CHECKING:
    import argparse

    from ftctl_worker.models.loading import LoadedBase

__all__ = ["add_export_command", "export", "run_export"]

_CARD = """\
---
base_model: {base}
library_name: transformers
{licence}tags: [lora, merged]
---
# A base model with a LoRA adapter merged into it

Made by ftctl-worker {version}. What the adapter was trained on, and under which licence it may be
used, its own card says:

"""


def add_export_command(commands: Any) -> None:
    """Add ``export`` to the commands of ``ftctl-worker``."""
    parser = commands.add_parser(
        "export",
        help="merge an adapter into its base model",
        description="Write a base model with an adapter merged into it, into a new folder.",
        epilog="example:\n  ftctl-worker export ./adapter ./merged --base smollm2",
        allow_abbrev=False,
    )
    parser.add_argument("adapter", type=Path, help="folder with adapter_model.safetensors")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument(
        "--base", help="base model (default: what the adapter's configuration names)"
    )
    parser.add_argument("--gguf", action="store_true", help="one GGUF file instead of safetensors")
    parser.add_argument("--home", type=Path, help="folder with converted base models")


def run_export(options: argparse.Namespace, home: Path) -> None:
    """Do what was asked on the command line."""
    export(options.adapter, options.out, base=options.base, cache=home / "cache", gguf=options.gguf)


def export(adapter: Path, out: Path, *, base: str | None, cache: Path, gguf: bool = False) -> None:
    """Merge an adapter, and write the model; the folder appears complete or not at all.

    Weights are added in fp32 and stored in the base model's own format.

    Raises:
        ModelError: the two do not fit, something is missing, or ``out`` is there already.
    """
    if out.exists():
        raise ModelError(f"{out} is there already; name a folder that is not.")
    name = base or _base_of(adapter)
    merged = _merged(adapter, name, cache)
    draft = out.with_name(f".{out.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    try:
        if gguf:
            from ftctl_worker.models.gguf_file import write_gguf

            write_gguf(merged.model, merged.tokenizer, draft / f"{_plain(name)}.gguf")
        else:
            merged.model.save_pretrained(draft, safe_serialization=True)
            merged.tokenizer.save_pretrained(draft)
        (draft / "README.md").write_text(_card(adapter, name), encoding="utf-8")
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _merged(adapter: Path, name: str, cache: Path) -> LoadedBase:
    from dataclasses import replace

    import torch

    from ftctl_worker.models import adapters
    from ftctl_worker.models.loading import load_base

    loaded = load_base(Catalog(allow_any=True).resolve(name), precision="fp32", cache=cache)
    stored = getattr(loaded.model.config, "dtype", None)
    fits = adapters.load(loaded.model, adapter, "default")
    try:
        model = fits.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise ModelError(f"The adapter in {adapter} cannot be merged: {error}") from error
    kept = _stored_dtype(loaded.folder) or stored or torch.float32
    return replace(loaded, model=model.to(kept))


def _stored_dtype(folder: Path | None) -> Any:
    """The number format that the base model's own configuration names."""
    import torch

    if folder is None:
        return None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    name = config.get("dtype") or config.get("torch_dtype")
    return getattr(torch, name, None) if isinstance(name, str) else None


def _base_of(adapter: Path) -> str:
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        return str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{adapter} is no adapter, or names no base model.") from error


def _card(adapter: Path, base: str) -> str:
    from ftctl_worker import __version__

    own = adapter / "README.md"
    text = own.read_text(encoding="utf-8", errors="replace") if own.is_file() else ""
    front = ""
    if text.startswith("---\n"):
        front, _, text = text[4:].partition("\n---\n")
    told = [line for line in front.splitlines() if line.startswith("license: ")]
    licence = "".join(f"{line}\n" for line in told[:1])
    below = "\n".join(f"#{line}" if line.startswith("#") else line for line in text.splitlines())
    return _CARD.format(base=json.dumps(base), licence=licence, version=__version__) + below + "\n"


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in Path(name).name)
