"""Any error in words: one sentence, a hint that can be typed, and an exit code."""

from __future__ import annotations

import errno
from typing import NamedTuple

from orchestrator.domain.errors import ExitCode, FtctlError


class Explained(NamedTuple):
    """What went wrong, for a person and for a shell."""

    message: str
    hint: str | None
    code: ExitCode


def explained(error: BaseException) -> Explained:
    """The words of an error; one that nobody expected is called a bug."""
    if isinstance(error, FtctlError):
        return Explained(error.message, error.hint, error.exit_code)
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, MemoryError | RecursionError):
        said = f"Out of memory, or nested too deep ({type(error).__name__})."
        return Explained(said, None, ExitCode.LOCAL_STATE)
    said = f"This is a bug in ftctl: {type(error).__name__}: {error}."
    hint = "the same with FTCTL_DEBUG=1, and report what it prints"
    return Explained(said, hint, ExitCode.LOCAL_STATE)


def _of_the_system(error: OSError) -> Explained:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "free some space; nothing was lost"
        return Explained(f"The disk is full{where}.", hint, ExitCode.LOCAL_STATE)
    if error.errno == errno.ENOENT:
        return Explained(f"There is no such file{where}.", None, ExitCode.USAGE)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        said = f"This may not be read or written{where}."
        return Explained(said, None, ExitCode.LOCAL_STATE)
    if error.errno in {errno.EISDIR, errno.ENOTDIR}:
        return Explained(f"A file was expected{where}.", None, ExitCode.USAGE)
    return Explained(f"{error.strerror or error}{where}.", None, ExitCode.LOCAL_STATE)
