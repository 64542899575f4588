"""What the worker runs on, found without loading torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["describe", "resident_bytes"]

_DRIVER = Path("/proc/driver/nvidia/gpus")


def describe(threads: int) -> dict[str, Any]:
    """Return kind, count and names of devices, and how many CPU threads training uses."""
    cards = _cards()
    cores = len(os.sched_getaffinity(0))
    return {
        "kind": "cuda" if cards else "cpu",
        "gpus": cards,
        "cores": cores,
        "threads": threads or cores,
    }


def resident_bytes() -> int | None:
    """Return the memory of this process, None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGESIZE")


def _cards() -> list[str]:
    try:
        folders = sorted(_DRIVER.iterdir())
        return [_model(folder) for folder in folders]
    except OSError:
        return []


def _model(folder: Path) -> str:
    for line in (folder / "information").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Model":
            return value.strip()
    return folder.name
