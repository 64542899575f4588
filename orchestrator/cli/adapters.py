"""`ftctl adapters`: the repository of adapters, its versions and its aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.lazy import LazyGroup
from orchestrator.cli.output import json_option, print_json, print_table, printable, say
from orchestrator.domain.adapters.names import CHAMPION, parse_address
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.domain.adapters.adapter import History, Move
    from orchestrator.usecases.adapters.aliases import Moved

_FILES = "orchestrator.cli.adapter_files"
_HERE = "orchestrator.cli.adapters"


@click.group(
    cls=LazyGroup,
    sections={
        "Commands": {
            "list": (f"{_HERE}:list_tasks", "List tasks, their versions and aliases."),
            "show": (f"{_HERE}:show", "Show a task with its trail, or one version whole."),
            "push": (
                "orchestrator.cli.adapter_push:push",
                "Keep the adapter of a job, or of a folder.",
            ),
            "pull": (f"{_FILES}:pull", "Copy a version into a folder."),
            "promote": (f"{_HERE}:promote", "Let an alias mean a version that passed its gate."),
            "rollback": (f"{_HERE}:rollback", "Let an alias mean what it meant before."),
            "remove": (f"{_HERE}:remove", "Take a version away that no alias means."),
            "verify": (f"{_FILES}:verify", "Check bytes, trail and answers of a version."),
            "export": (f"{_FILES}:export", "Write a version with its card, alone or merged."),
            "mirror": (f"{_FILES}:mirror", "Bring a folder to the state of the repository."),
            "serve-to": (f"{_FILES}:serve_to", "Let a vLLM server hold what aliases mean."),
        }
    },
    epilog="\b\nExample:\n  ftctl adapters push JOB --task tickets\n"
    "  ftctl adapters promote tickets v2\n  ftctl adapters rollback tickets",
)
def adapters() -> None:
    """Keep adapters: versions that never change, aliases that move, and who moved them."""


@click.command("list", epilog="\b\nExample:\n  ftctl adapters list --json")
@json_option
@click.pass_context
def list_tasks(ctx: click.Context, as_json: bool) -> None:
    """List tasks, their versions and aliases."""
    repo = wiring.app(ctx).adapters.repo
    found = [repo.history(task) for task in repo.tasks()]
    if as_json:
        print_json([_plain(history) for history in found])
    elif found:
        rows = [(h.task, ", ".join(h.versions), _aliases(h)) for h in found]
        print_table(("task", "versions", "aliases"), rows)
    else:
        say(f"no adapters in {repo.where} yet; ftctl adapters push JOB --task NAME")


@click.command(
    epilog="\b\nExample:\n  ftctl adapters show tickets\n  ftctl adapters show tickets@v2"
)
@click.argument("name", metavar="TASK[@VERSION]")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show a task with its trail, or one version whole."""
    from orchestrator.usecases.adapters.registry import read_manifest

    repo, address = wiring.app(ctx).adapters.repo, parse_address(name)
    history = repo.history(address.task)
    if not history.versions and not history.moves:
        raise UsageError(
            f"There is no task '{address.task}' in {repo.where}.", hint="ftctl adapters list"
        )
    if address.wanted is None:
        _show_task(history, as_json=as_json)
        return
    version = history.resolve(address.wanted)
    manifest = read_manifest(repo.manifest(history, version))
    if as_json:
        print_json(manifest.as_json())
        return
    from orchestrator.usecases.adapters.cards import card

    click.echo(printable(card(manifest)))


@click.command(
    epilog="\b\nExample:\n  ftctl adapters promote tickets v2\n"
    '  ftctl adapters promote tickets v2 --force --reason "hot fix, gate follows"'
)
@click.argument("task")
@click.argument("version")
@click.option("--to", "alias", default=CHAMPION, show_default=True, help="The alias that moves.")
@click.option("--comparison", metavar="ID", help="That opens the gate.  [default: the newest]")
@click.option("--force", is_flag=True, help="Without a passed gate; wants --reason.")
@click.option("--reason", help="Why; kept in the trail.")
@json_option
@click.pass_context
def promote(
    ctx: click.Context,
    task: str,
    version: str,
    alias: str,
    comparison: str | None,
    force: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Let an alias mean a version. The gate is a comparison that says Improved or Parity.

    The alias `candidate` needs no gate. Requests that come after this are answered by the version;
    nothing is restarted.
    """
    from orchestrator.usecases.adapters.aliases import gate_openers
    from orchestrator.usecases.adapters.aliases import promote as move

    if force and not reason:
        raise UsageError("--force wants a reason.", hint='--reason "..."')
    app = wiring.app(ctx)
    task = parse_address(task).task
    moved = move(
        app.adapters,
        task,
        version,
        alias=alias,
        comparisons=[]
        if force
        else gate_openers(app.adapters, app.comparisons, task, version, comparison),
        forced=force,
        reason=reason or "",
    )
    _tell(task, moved, as_json=as_json)


@click.command(epilog="\b\nExample:\n  ftctl adapters rollback tickets --reason 'wrong labels'")
@click.argument("task")
@click.option("--alias", default=CHAMPION, show_default=True, help="The alias that moves.")
@click.option("--reason", default="", help="Why; kept in the trail.")
@json_option
@click.pass_context
def rollback(ctx: click.Context, task: str, alias: str, reason: str, as_json: bool) -> None:
    """Let an alias mean what it meant before its last promotion."""
    from orchestrator.usecases.adapters.aliases import rollback as move

    task = parse_address(task).task
    moved = move(wiring.app(ctx).adapters, task, alias=alias, reason=reason)
    _tell(task, moved, as_json=as_json)


@click.command(epilog="\b\nExample:\n  ftctl adapters remove tickets v1")
@click.argument("task")
@click.argument("version")
@click.option("--reason", default="", help="Why; kept in the trail.")
@json_option
@click.pass_context
def remove(ctx: click.Context, task: str, version: str, reason: str, as_json: bool) -> None:
    """Take a version away that no alias means. Its number is never given again."""
    from orchestrator.usecases.adapters.aliases import remove as take_away

    task = parse_address(task).task
    take_away(wiring.app(ctx).adapters, task, version, reason)
    if as_json:
        print_json({"task": task, "version": version, "removed": True})
    else:
        click.echo(f"{task}@{version} removed")


def _show_task(history: History, *, as_json: bool) -> None:
    if as_json:
        print_json(_plain(history) | {"moves": [_plain_move(move) for move in history.moves]})
        return
    click.echo(f"{history.task}: {', '.join(history.versions) or 'no versions'}")
    click.echo(f"aliases: {_aliases(history) or 'none'}")
    if history.moves:
        columns = ("at", "by", "move", "from", "to", "why")
        print_table(columns, [_line(move) for move in history.moves])


def _tell(task: str, moved: Moved, *, as_json: bool) -> None:
    if as_json:
        move = None if moved.move is None else _plain_move(moved.move)
        print_json({"task": task, "alias": moved.alias, "version": moved.version, "move": move})
    elif moved.move is None:
        say(f"{task}@{moved.alias} means {moved.version} already")
    else:
        click.echo(f"{task}@{moved.alias}: {moved.move.before or 'none'} → {moved.version}")


def _plain(history: History) -> dict[str, Any]:
    return {
        "task": history.task,
        "versions": list(history.versions),
        "aliases": history.aliases,
    }


def _plain_move(move: Move) -> dict[str, Any]:
    return {
        "number": move.number,
        "at": move.at.isoformat(),
        "by": move.by,
        "action": move.action.value,
        "alias": move.alias,
        "from": move.before,
        "to": move.after,
        "reason": move.reason,
        "gate": move.gate,
    }


def _aliases(history: History) -> str:
    return ", ".join(f"{alias} = {version}" for alias, version in sorted(history.aliases.items()))


def _line(move: Move) -> tuple[str, ...]:
    at = move.at.isoformat(timespec="seconds")
    what = f"{move.action.value} {move.alias or ''}".strip()
    why = move.reason or str((move.gate or {}).get("comparison", ""))
    return at, move.by, what, move.before or "", move.after or "", why
