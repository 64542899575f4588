"""Errors become one sentence, a hint that can be typed, and an exit code."""

from __future__ import annotations

import errno
import sys
import traceback

import click

from orchestrator.cli.output import printable
from orchestrator.config import load
from orchestrator.domain.errors import ExitCode, FtctlError


def explain(error: BaseException) -> int:
    """Say what went wrong on stderr and return the exit code. A traceback only on request."""
    if _wants_traceback():
        traceback.print_exception(error, file=sys.stderr)
    message, hint, code = _words(error)
    click.echo(f"ftctl: {printable(message)}", err=True)
    if hint:
        click.echo(f"  try: {printable(hint)}", err=True)
    return code


def _words(error: BaseException) -> tuple[str, str | None, ExitCode]:
    if isinstance(error, FtctlError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, MemoryError | RecursionError):
        said = f"Out of memory, or nested too deep ({type(error).__name__})."
        return said, None, ExitCode.LOCAL_STATE
    said = f"This is a bug in ftctl: {type(error).__name__}: {error}."
    return said, "the same with FTCTL_DEBUG=1, and report what it prints", ExitCode.LOCAL_STATE


def _of_the_system(error: OSError) -> tuple[str, str | None, ExitCode]:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"The disk is full{where}.",
            "free some space; nothing was lost",
            ExitCode.LOCAL_STATE,
        )
    if error.errno == errno.ENOENT:
        return f"There is no such file{where}.", None, ExitCode.USAGE
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"This may not be read or written{where}.", None, ExitCode.LOCAL_STATE
    if error.errno in {errno.EISDIR, errno.ENOTDIR}:
        return f"A file was expected{where}.", None, ExitCode.USAGE
    return f"{error.strerror or error}{where}.", None, ExitCode.LOCAL_STATE


def _wants_traceback() -> bool:
    try:
        return load().debug
    except FtctlError:
        return False
