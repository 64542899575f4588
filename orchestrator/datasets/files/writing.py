"""Files to the disk: through a temporary one in the same folder, never half, never over another."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def written(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A stream whose bytes appear at the path when the block ends well, and not at all otherwise.

    Args:
        path: where the file will be.
        force: take the place of a file that is there.

    Raises:
        UsageError: the path is taken.
        OSError: the folder cannot be written.
    """
    if str(path) == "-":
        raise UsageError("- names no file to write.", hint="give the file a name")
    if path.exists() and not force:
        raise _taken(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield cast("BinaryIO", stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        _move(temporary, path, force=force)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def spooled(path: Path) -> Iterator[Path]:
    """The path itself; for `-`, a temporary file with all of standard input."""
    if str(path) != "-":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "stdin"
        with copy.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream, 1 << 20)
        yield copy


def _move(temporary: Path, path: Path, *, force: bool) -> None:
    if force:
        temporary.replace(path)
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # A file system without links: the check at the start must do.
        temporary.replace(path)


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} is there already.", hint="--force writes over it")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
