"""Data goes to stdout, talk to stderr; colour and progress only on a terminal."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rich.console import Console

# C0 and C1 controls but tab and newline, and the bidirectional overrides: what a dataset or a
# provider says must not move the cursor, set the title or reorder the line.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

# The same in JSON, where what is left of them stands inside strings.
_ACTING = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def file_or_stdout(
    _ctx: click.Context, _parameter: click.Parameter, value: Path | None
) -> Path | None:
    """A callback of options that name a file; `-` is standard output, as where none is named."""
    return None if str(value) == "-" else value


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def print_json(value: object) -> None:
    """One JSON document on stdout; NaN is refused, and characters that act are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False, default=str)
    click.echo(_ACTING.sub(lambda match: f"\\u{ord(match.group()):04x}", text))


def say(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    click.echo(printable(text), err=True)


def printable(text: str) -> str:
    """The text with every control character shown instead of obeyed."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, stderr: bool = False
) -> None:
    """A plain table; cells are text, never markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console(stderr=stderr).print(table)


def console(*, stderr: bool = False) -> Console:
    """A rich console: plain when it is not a terminal. Not cached: pipes and tests swap streams."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else 160)
