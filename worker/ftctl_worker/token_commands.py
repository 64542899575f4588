"""The commands ``ftctl-worker token add|list|revoke``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftctl_worker.home import Home
from ftctl_worker.project import DEFAULT_PROJECT
from ftctl_worker.tokens import TokenFile

if TYPE_CHECKING:
    import argparse

__all__ = ["add_token_commands", "run_token"]

_EXAMPLE = """\
example:
  ftctl-worker token add alice
  ftctl-worker token add bob --project shop     # sees nothing of other projects
  ftctl-worker token revoke alice

A running server knows of it with the next request.
"""


def add_token_commands(commands: Any) -> None:
    """Add ``token`` with its verbs to the command line."""
    import argparse

    token = commands.add_parser(
        "token",
        help="make, list and revoke named bearer tokens",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = token.add_subparsers(required=True, metavar="VERB", dest="verb")
    for verb, text in (("add", "make a token"), ("revoke", "make a token worthless")):
        named = verbs.add_parser(verb, help=text, allow_abbrev=False)
        named.add_argument("name", help="who holds it")
        named.add_argument("--home", type=Path, help="the worker's home")
        if verb == "add":
            named.add_argument(
                "--project", default=DEFAULT_PROJECT, help="what it opens (default: %(default)s)"
            )
    listing = verbs.add_parser("list", help="list names", allow_abbrev=False)
    listing.add_argument("--home", type=Path, help="the worker's home")


def run_token(options: argparse.Namespace, folder: Path) -> None:
    """Do what the verb says; a new token goes to stdout, everything else to stderr.

    Raises:
        ConfigurationError: the name is taken, unknown or none.
    """
    home = Home(folder.resolve())
    home.prepare()
    tokens = TokenFile(home.tokens)
    if options.verb == "add":
        sys.stdout.write(f"{tokens.add(options.name, options.project)}\n")
        sys.stderr.write("This token is not shown again; the worker keeps its digest only.\n")
    elif options.verb == "revoke":
        tokens.revoke(options.name)
        sys.stderr.write(f"{options.name} is revoked.\n")
    else:
        for one in tokens.all():
            made = datetime.fromtimestamp(one.created_at, UTC)
            sys.stdout.write(f"{one.name}\t{one.project}\t{made:%Y-%m-%d %H:%M} UTC\n")
