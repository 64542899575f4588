"""`ftctl db`: look after the database."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.domain.errors import ExitCode
from orchestrator.wiring import databases


@click.group(epilog="\b\nExample:\n  ftctl db status\n  ftctl db upgrade")
def db() -> None:
    """Look after the database."""


@db.command(epilog="\b\nExample:\n  ftctl db status --json")
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show which schema the database has, and which one this ftctl needs."""
    app = wiring.app(ctx)
    have, want = databases.revisions(app)
    if as_json:
        print_json({"database": have, "needed": want, "current": have == want})
        return
    click.echo(f"database {have or 'empty'}, needed {want}")
    if have not in {None, want}:
        say("next: ftctl db upgrade")


@db.command(epilog="\b\nExample:\n  ftctl db upgrade")
@json_option
@click.pass_context
def upgrade(ctx: click.Context, as_json: bool) -> None:
    """Bring an older database to this version, after a backup beside it."""
    before, after, copy = databases.upgrade(wiring.app(ctx))
    if as_json:
        print_json({"before": before, "after": after, "backup": str(copy) if copy else None})
        return
    click.echo(f"schema {before or 'none'} → {after}" if before != after else f"already {after}")
    if copy:
        click.echo(f"backup: {copy}")


@db.command(epilog="\b\nExample:\n  ftctl db backup ledger-2026-11-20.db")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def backup(ctx: click.Context, target: Path, as_json: bool) -> None:
    """Copy the database while others write to it; the copy is checked."""
    if target.exists():
        raise click.UsageError(f"{target} exists; name a new file.")
    databases.backup(wiring.app(ctx), target)
    if as_json:
        print_json({"backup": str(target)})
    else:
        click.echo(f"backup: {target}")


@db.command(epilog="\b\nExample:\n  ftctl db restore ledger-2026-11-20.db")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def restore(ctx: click.Context, source: Path, as_json: bool) -> None:
    """Put a checked backup in the database's place; what was there is kept beside it.

    `ftctl sync` then asks the providers about every job that the backup knows. Jobs submitted after
    it was made are not in it: look for them in the database that was kept.
    """
    app = wiring.app(ctx)
    kept, rows = databases.restore(app, source)
    if as_json:
        print_json({"restored": str(source), "kept": str(kept) if kept else None, "rows": rows})
        return
    click.echo(f"restored {source}: {rows.get('jobs', 0)} jobs")
    if kept:
        click.echo(f"the database before: {kept}")
    have, want = databases.revisions(app)
    say("next: ftctl sync" if have == want else "next: ftctl db upgrade")


@db.command(epilog="\b\nExample:\n  ftctl db check --json")
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> int:
    """Read the whole database: every page, every reference, every table's rows.

    Exit code: 0 sound; 5 not.
    """
    found = databases.check(wiring.app(ctx))
    if as_json:
        print_json({"ok": not found.problems, "problems": found.problems, "rows": found.rows})
    else:
        for name, count in found.rows.items():
            click.echo(f"{name:<24} {count:>10,}")
        for problem in found.problems:
            say(problem)
        click.echo("sound" if not found.problems else f"{len(found.problems)} problems")
    return ExitCode.LOCAL_STATE if found.problems else ExitCode.DONE
