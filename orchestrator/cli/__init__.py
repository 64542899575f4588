"""The command line: parse, call one use case, print. One file per command group."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.commands import COMMANDS
from orchestrator.cli.lazy import LazyGroup
from orchestrator.domain.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLE = """\b
Example:
  ftctl validate train.jsonl --for openai
  ftctl submit train.jsonl --provider local --model tiny --wait
  ftctl compare JOB --test test.jsonl
  ftctl report JOB
"""


@click.group(
    cls=LazyGroup,
    sections=COMMANDS,
    epilog=EXAMPLE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ftctl", prog_name="ftctl")
def cli() -> None:
    """One command line, one ledger and one worker for fine-tuning language models on any host."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ftctl and leave the process with the exit code that docs/cli.md promises."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None, obj: Any = None) -> int:
    """Run one command. The one place that turns errors into words and exit codes.

    Args:
        arguments: as typed, without the program's name; the process's own when None.
        obj: the wired application; made on first use when None.
    """
    from orchestrator.cli.errors import explain

    try:
        result = cli.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="ftctl",
            standalone_mode=False,
            obj=obj,
        )
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; what was done so far is saved", err=True)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader left (`ftctl status | head`): close quietly, and keep Python from a second try.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - no traceback reaches a person
        return explain(error)
    return int(result) if isinstance(result, int) else ExitCode.DONE
