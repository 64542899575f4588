"""Folders that outlive a machine that loses its power, whole or not at all."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["publish", "sync"]


def publish(draft: Path, folder: Path) -> None:
    """Put the folder ``draft`` where ``folder`` is or was, once all of it is on the disk."""
    for path in draft.rglob("*"):
        sync(path)
    sync(draft)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    sync(folder.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
