"""What one should know of a base model before it is used: where it is from, its licence, its size."""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftctl_worker.models.bases import SMOLLM2_DISTRIBUTION, Catalog

if TYPE_CHECKING:
    import argparse

    from ftctl_worker.models.bases import BaseModel

__all__ = ["add_models_command", "facts", "print_models"]

_LICENCE = re.compile(r"^license:\s*[\"']?([\w.+-]+)[\"']?\s*$", re.MULTILINE | re.IGNORECASE)
_MOST_CARD = 64 * 1024
_MIB = 1024 * 1024
_EXAMPLE = """\
example:
  ftctl-worker models --models-dir ./models
  ftctl-worker models --json
"""


def facts(base: BaseModel) -> dict[str, Any]:
    """Return ``{"source", "license", "bytes", "revision"}``; None for what is not known here.

    The licence is that of the model card beside the weights, or of the package that carries them.
    """
    return {
        "source": base.kind,
        "license": _licence(base),
        "bytes": _bytes(base),
        "revision": base.revision,
    }


def add_models_command(commands: Any) -> None:
    """Add ``ftctl-worker models`` to a parser's subparsers."""
    import argparse

    models = commands.add_parser(
        "models",
        help="list the base models that can be named, with licence and size",
        description="List the base models that can be named, with licence and size.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    models.add_argument(
        "--models-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of model folders (repeatable)",
    )
    models.add_argument("--json", action="store_true", help="print JSON")


def print_models(options: argparse.Namespace) -> None:
    """Print what there is."""
    catalog = Catalog(models_dirs=tuple(options.models_dir))
    data = [{"id": base.name, **facts(base)} for base in catalog.available()]
    if options.json:
        sys.stdout.write(json.dumps({"object": "list", "data": data}) + "\n")
        return
    for one in data:
        size = "-" if one["bytes"] is None else f"{one['bytes'] / _MIB:,.1f} MiB"
        licence = one["license"] or "licence unknown"
        sys.stdout.write(f"{one['id']:<24} {size:>14}  {licence:<20} {one['source']}\n")


def _licence(base: BaseModel) -> str | None:
    if base.kind == "folder":
        return _of_card(Path(base.location) / "README.md")
    if base.name == "smollm2":
        try:
            said: Any = metadata.metadata(SMOLLM2_DISTRIBUTION)
        except metadata.PackageNotFoundError:
            return None
        return said.get("License-Expression") or said.get("License")
    return None


def _of_card(card: Path) -> str | None:
    try:
        with card.open(encoding="utf-8", errors="replace") as stream:
            head = stream.read(_MOST_CARD)
    except OSError:
        return None
    parts = head.split("---", 2)
    found = _LICENCE.search(parts[1]) if head.startswith("---") and len(parts) == 3 else None
    return None if found is None else found[1].lower()


def _bytes(base: BaseModel) -> int | None:
    place = Path(base.location)
    if base.kind == "gguf":
        return place.stat().st_size
    if base.kind == "hub":
        return None
    return sum(file.stat().st_size for file in place.glob("*.safetensors"))
