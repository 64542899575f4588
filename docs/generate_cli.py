"""Write docs/cli.md and docs/commands/ from the program's own help, or check them (`--check`)."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.cli import cli
from orchestrator.domain.errors import ExitCode

DOCS = Path(__file__).parent
TARGET = DOCS / "cli.md"
FOLDER = DOCS / "commands"
MADE = "Made by `make format` from the program itself."
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
    """The first page: exit codes, and every command in one line."""
    lines = ["# The command line", "", MADE, ""]
    lines += ["| exit code | meaning |", "|---|---|"]
    lines += [f"| {int(code)} | {meaning} |" for code, meaning in _MEANING.items()]
    lines += ["", "| command | what it does |", "|---|---|"]
    for name, command in _commands(cli, click.Context(cli)):
        lines.append(f"| [ftctl {name}](commands/{name}.md) | {_sentence(command)} |")
        if isinstance(command, click.Group):
            for sub, one in _commands(command, click.Context(command)):
                link = f"commands/{name}.md#ftctl-{name}-{sub}"
                lines.append(f"| [ftctl {name} {sub}]({link}) | {_sentence(one)} |")
    return "\n".join(lines).rstrip() + "\n"


def pages() -> dict[Path, str]:
    """Every page that is made: its place and its text."""
    top = click.Context(cli, info_name="ftctl", terminal_width=90, max_content_width=90)
    made = {TARGET: page()}
    for name, command in _commands(cli, top):
        lines = [*_help(f"ftctl {name}", command, top, "#"), f"{MADE} [All commands](../cli.md)."]
        made[FOLDER / f"{name}.md"] = "\n".join(lines).rstrip() + "\n"
    return made


def _commands(group: click.Group, context: click.Context) -> list[tuple[str, click.Command]]:
    found = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    return [(name, command) for name, command in found if command is not None]


def _sentence(command: click.Command) -> str:
    return command.get_short_help_str(limit=120).replace("|", "\\|")


def _help(name: str, command: click.Command, parent: click.Context, mark: str) -> list[str]:
    # A fixed width, so that the page does not depend on the terminal it was made in.
    context = click.Context(
        command,
        info_name=name.rsplit(maxsplit=1)[-1],
        parent=parent,
        terminal_width=90,
        max_content_width=90,
    )
    lines = [f"{mark} {name}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    if isinstance(command, click.Group):
        for sub, one in _commands(command, context):
            lines += _help(f"{name} {sub}", one, context, "##")
    return lines


def main() -> int:
    """Write or check; the exit code says whether the pages are the program's own."""
    made = pages()
    if "--check" not in sys.argv[1:]:
        FOLDER.mkdir(exist_ok=True)
        for stale in set(FOLDER.glob("*.md")) - set(made):
            stale.unlink()
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    paths = [path for path in (TARGET, *FOLDER.glob("*.md")) if path.is_file()]
    there = {path: path.read_text(encoding="utf-8") for path in paths}
    if there == made:
        return 0
    wrong = sorted(path for path in {*there, *made} if there.get(path) != made.get(path))
    names = ", ".join(path.relative_to(DOCS).as_posix() for path in wrong)
    sys.stderr.write(f"not what the program says: {names}; run: make format\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
