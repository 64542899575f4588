"""`ftctl db`: look after the database."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, say


@click.group(epilog="\b\nExample:\n  ftctl db status\n  ftctl db upgrade")
def db() -> None:
    """Look after the database."""


@db.command(epilog="\b\nExample:\n  ftctl db status --json")
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show which schema the database has, and which one this ftctl needs."""
    app = wiring.app(ctx)
    have, want = wiring.database_revisions(app)
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
    before, after, copy = wiring.upgrade_database(wiring.app(ctx))
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
    wiring.backup_database(wiring.app(ctx), target)
    if as_json:
        print_json({"backup": str(target)})
    else:
        click.echo(f"backup: {target}")
