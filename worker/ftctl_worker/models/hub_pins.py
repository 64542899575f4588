"""Which commit of the Hub a base model was loaded from first, so that it stays that one.

A branch or a tag of the Hub can move. An adapter fits the weights it was trained over: whatever is
loaded under the same name later has to be the same commit.
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING

from ftctl_worker.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from ftctl_worker.models.bases import BaseModel

__all__ = ["HubPins"]


class HubPins:
    """Commits by the names of models, in a file that a person can read and edit."""

    def __init__(self, file: Path) -> None:
        """Keep them in ``file``, which need not exist."""
        self._file = file

    def of(self, base: BaseModel) -> str | None:
        """Return the commit that a model was loaded from first, None where it never was.

        Raises:
            ModelError: the file cannot be read; whoever guessed now could mix weights.
        """
        return self._read().get(base.name)

    def keep(self, base: BaseModel, commit: str) -> str:
        """Write down where a model was loaded from; return what counts, which is what came first.

        Raises:
            ModelError: the file cannot be read.
        """
        with self._file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            pins = self._read()
            if base.name not in pins:
                pins[base.name] = commit
                draft = self._file.with_suffix(".draft")
                with draft.open("w", encoding="utf-8") as stream:
                    stream.write(json.dumps(pins, indent=2, sort_keys=True) + "\n")
                    stream.flush()
                    os.fsync(stream.fileno())
                draft.replace(self._file)
            return pins[base.name]

    def _read(self) -> dict[str, str]:
        try:
            pins: dict[str, str] = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(name): str(commit) for name, commit in pins.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            raise ModelError(f"{self._file} cannot be read: {error}") from error
