"""What a folder lies on: whose disk, and how much is left of it."""

from __future__ import annotations

import ctypes
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# File systems on which SQLite's locks are not to be trusted, by the magic number of statfs.
_REMOTE = {
    0x6969: "NFS",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x517B: "SMB",
    0x01021997: "9P",
    0x65735546: "FUSE",
    0x00C36400: "Ceph",
    0x47504653: "GPFS",
    0x0BD00BD0: "Lustre",
    0x5346414F: "AFS",
}


def private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone.

    `Path.mkdir(parents=True)` gives its mode to the last one only.
    """
    if folder.is_dir():
        return
    private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def network_file_system(folder: Path) -> str | None:
    """The kind of network file system a folder lies on; None on a disk of this machine."""
    place = _existing(folder)
    buffer = ctypes.create_string_buffer(512)
    try:
        if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(place), buffer) != 0:
            return None
    except (AttributeError, OSError):
        return None
    magic = int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], "little")
    return _REMOTE.get(magic & 0xFFFFFFFF)


def free_bytes(folder: Path) -> int:
    """Space left on the disk of a folder that need not be there yet."""
    place = _existing(folder)
    return shutil.disk_usage(place).free


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place
