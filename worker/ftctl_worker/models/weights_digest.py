"""What a base model is, beyond its name: the revision of a Hub model, else a digest of its files."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftctl_worker.models.bases import BaseModel

__all__ = ["describe"]

_COUNTED = ("*.safetensors", "*.gguf", "config.json", "tokenizer.json", "chat_template.jinja")


def describe(base: BaseModel) -> dict[str, str | None]:
    """Return ``{"name", "revision"}``: a commit of the Hub, or ``sha256:`` over weights and words.

    None where a Hub model is not on this machine yet and was not pinned.
    """
    revision = _of_the_hub(base) if base.kind == "hub" else _of_files(Path(base.location))
    return {"name": base.name, "revision": revision}


def _of_the_hub(base: BaseModel) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    place = try_to_load_from_cache(base.location, "config.json", revision=base.revision)
    return Path(place).parent.name if isinstance(place, str) else base.revision


def _of_files(place: Path) -> str:
    files = [place] if place.is_file() else sorted({f for p in _COUNTED for f in place.glob(p)})
    stamps = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    return _digest(stamps)


@lru_cache(maxsize=16)
def _digest(stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Read files once for each state they are in."""
    whole = hashlib.sha256()
    for name, size, _ in stamps:
        with Path(name).open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{Path(name).name} {size} {content}\n".encode())
    return f"sha256:{whole.hexdigest()}"
