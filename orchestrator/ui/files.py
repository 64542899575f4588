"""Files of one folder, by their names: nothing outside it can be named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from orchestrator.domain.errors import UsageError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".zst")
_MOST_FILES = 500
_DEEPEST = 3
_SKIPPED = frozenset({"node_modules", "__pycache__", "venv"})


class Found(NamedTuple):
    """A file that may be named."""

    name: str
    bytes: int


class Files:
    """The datasets under a folder.

    A file is named by its path in the folder, never sent: it may be of any size, the ledger knows
    where it came from, and no parser of uploads stands in the way. Whoever holds a session can read
    through this no more than the datasets of that folder.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder; links are followed now, so that they cannot lead elsewhere later."""
        self.folder = folder.resolve()

    def all(self) -> list[Found]:
        """What lies there, by name; hidden files and deep folders are left out."""
        found: list[Found] = []
        for place, folders, names in os.walk(self.folder):
            here = Path(place)
            depth = len(here.relative_to(self.folder).parts)
            folders[:] = sorted(
                each
                for each in folders
                if depth < _DEEPEST and not each.startswith(".") and each not in _SKIPPED
            )
            files = (here / name for name in sorted(names) if _is_data(name))
            found += [
                Found(str(file.relative_to(self.folder)), file.stat().st_size)
                for file in files
                if file.is_file() and not file.is_symlink()
            ]
            if len(found) >= _MOST_FILES:
                break
        return found[:_MOST_FILES]

    def find(self, name: str) -> Path:
        """The file of that name.

        Raises:
            UsageError: it is none of this folder's datasets.
        """
        wanted = name.strip()
        try:
            path = (self.folder / wanted).resolve()
            inside = path.relative_to(self.folder)
            good = path.is_file() and not any(part.startswith(".") for part in inside.parts)
        except (OSError, ValueError):
            good, path = False, self.folder
        if not wanted or not good or not _is_data(path.name):
            raise UsageError(
                f"There is no dataset '{wanted}' in {self.folder}.",
                hint="name one of the files listed, or start with: ftctl ui --files FOLDER",
            )
        return path


def _is_data(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)
