"""Errors become one sentence, a hint that can be typed, and an exit code."""

from __future__ import annotations

import sys
import traceback

import click

from orchestrator.cli.output import printable
from orchestrator.config import load
from orchestrator.domain.errors import FtctlError
from orchestrator.domain.explaining import explained


def explain(error: BaseException) -> int:
    """Say what went wrong on stderr and return the exit code. A traceback only on request."""
    if _wants_traceback():
        traceback.print_exception(error, file=sys.stderr)
    message, hint, code = explained(error)
    click.echo(f"ftctl: {printable(message)}", err=True)
    if hint:
        click.echo(f"  try: {printable(hint)}", err=True)
    return code


def _wants_traceback() -> bool:
    try:
        return load().debug
    except FtctlError:
        return False
