"""`ftctl dataset`: what lies in the content-addressed store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table
from orchestrator.domain.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.jobs.dataset import Dataset


@click.group(epilog="\b\nExample:\n  ftctl dataset list\n  ftctl dataset diff 3f2a 91bc")
def dataset() -> None:
    """Look into the store of datasets."""


@dataset.command("list", epilog="\b\nExample:\n  ftctl dataset list --json")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every dataset that was prepared for an upload, newest first."""
    known = wiring.app(ctx).datasets.all()
    if as_json:
        print_json([_as_json(each) for each in known])
        return
    print_table(
        ("DIGEST", "ROWS", "BYTES", "TOKENS", "MADE", "SOURCE"),
        [
            (
                each.digest[:12],
                str(each.rows),
                str(each.bytes),
                str(each.tokens or ""),
                each.created_at.strftime("%Y-%m-%d %H:%M"),
                each.source,
            )
            for each in known
        ],
    )


@dataset.command(epilog="\b\nExample:\n  ftctl dataset show 3f2a --rows 3")
@click.argument("digest")
@click.option("--rows", type=click.IntRange(min=0), default=1, show_default=True, help="To print.")
@json_option
@click.pass_context
def show(ctx: click.Context, digest: str, rows: int, as_json: bool) -> None:
    """One dataset: what is known of it, where it lies, and its first rows."""
    from orchestrator.datasets.files.comparing import first_rows

    store = wiring.app(ctx).datasets
    found = _find(store.all(), digest)
    path = store.path(found.digest)
    if as_json:
        print_json({**_as_json(found), "path": str(path), "first_rows": first_rows(path, rows)})
        return
    for name, value in {**_as_json(found), "path": path}.items():
        click.echo(f"{name:11} {value}")
    for row in first_rows(path, rows):
        print_json(row)


@dataset.command(epilog="\b\nExample:\n  ftctl dataset diff 3f2a 91bc")
@click.argument("before")
@click.argument("after")
@json_option
@click.pass_context
def diff(ctx: click.Context, before: str, after: str, as_json: bool) -> int:
    """The rows that only one of two datasets has. Exit code 0: none; 1: some."""
    from orchestrator.datasets.files.comparing import compare_files

    store = wiring.app(ctx).datasets
    known = store.all()
    old, new = _find(known, before), _find(known, after)
    found = compare_files(store.path(old.digest), store.path(new.digest))
    if as_json:
        print_json(found.as_json())
    else:
        for line, text in found.removed:
            click.echo(click.style(f"- {line}: {text}", fg="red"))
        for line, text in found.added:
            click.echo(click.style(f"+ {line}: {text}", fg="green"))
        click.echo(
            f"{found.common} row(s) in both, {len(found.removed)} gone, {len(found.added)} new"
        )
    return ExitCode.NO if found.removed or found.added else ExitCode.DONE


def _find(known: Sequence[Dataset], prefix: str) -> Dataset:
    found = [each for each in known if each.digest.startswith(prefix)]
    if len(found) != 1:
        many = "No dataset starts" if not found else f"{len(found)} datasets start"
        raise UsageError(f"{many} with {prefix!r}.", hint="ftctl dataset list")
    return found[0]


def _as_json(each: Dataset) -> dict[str, Any]:
    return {
        "digest": each.digest,
        "rows": each.rows,
        "bytes": each.bytes,
        "tokens": each.tokens,
        "created_at": each.created_at.isoformat(),
        "source": each.source,
    }
