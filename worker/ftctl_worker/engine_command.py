"""``ftctl-worker engines``: what can be trained on this machine, and by what."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from ftctl_worker import hardware
from ftctl_worker.engine_table import TUNINGS, table

if TYPE_CHECKING:
    import argparse

__all__ = ["add_engine_command", "print_engines"]

_EXAMPLE = """\
example:
  ftctl-worker engines
  ftctl-worker engines --json
"""


def add_engine_command(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    import argparse

    engines = commands.add_parser(
        "engines",
        help="say which engine can train what on this machine",
        description="Say which engine can train what on this machine, and why it cannot do the rest.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    engines.add_argument("--json", action="store_true", help="print JSON")


def print_engines(options: argparse.Namespace) -> None:
    """Print the table."""
    device = hardware.describe(0)["kind"]
    data = table(device)
    if options.json:
        sys.stdout.write(json.dumps({"object": "list", "device": device, "data": data}) + "\n")
        return
    write = sys.stdout.write
    write(f"On this machine ({device}):\n")
    for engine in data:
        write(f"\n{engine['name']}: {engine['summary']}\n")
        for method, found in engine["methods"].items():
            write(f"  {method:<14} {', '.join(found['available']) or '-'}\n")
        for why in _reasons(engine):
            write(f"  not: {why}\n")


def _reasons(engine: dict[str, Any]) -> list[str]:
    whys = [
        found["unavailable"][tuning]
        for found in engine["methods"].values()
        for tuning in TUNINGS
        if tuning in found["unavailable"]
    ]
    return list(dict.fromkeys(whys))
