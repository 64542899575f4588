"""Write docs/cli.md from the program's own help, or check that it still is (`--check`)."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.cli import cli
from orchestrator.domain.errors import ExitCode

TARGET = Path(__file__).parent / "cli.md"
_MEANING = {
    ExitCode.DONE: "done",
    ExitCode.NO: "the answer is no: dataset invalid, job failed, gate failed",
    ExitCode.USAGE: "what was typed cannot be done",
    ExitCode.CONFIGURATION: "configuration or credentials",
    ExitCode.TRY_LATER: "provider unreachable, rate-limited, or without a clear answer: try later",
    ExitCode.LOCAL_STATE: "local state: database, disk",
    ExitCode.INCONCLUSIVE: "the evidence does not decide",
    ExitCode.INTERRUPTED: "interrupted",
}


def page() -> str:
    """The whole page: exit codes, then every command with its help."""
    lines = ["# The command line", "", "Made by `make format` from the program itself.", ""]
    lines += ["| exit code | meaning |", "|---|---|"]
    lines += [f"| {int(code)} | {meaning} |" for code, meaning in _MEANING.items()]
    lines += ["", *_help("ftctl", cli, None)]
    return "\n".join(lines).rstrip() + "\n"


def _help(name: str, command: click.Command, parent: click.Context | None) -> list[str]:
    # A fixed width, so that the page does not depend on the terminal it was made in.
    context = click.Context(
        command,
        info_name=name.rsplit(maxsplit=1)[-1],
        parent=parent,
        terminal_width=90,
        max_content_width=90,
    )
    lines = [f"## {name}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            lines += _help(f"{name} {sub}", found, context)
    return lines


def main() -> int:
    """Write or check; the exit code says whether the page is the program's own."""
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page(), encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/cli.md is not what the program says; run: make format\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
