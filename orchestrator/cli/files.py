"""`ftctl files`: what lies at a provider, and who needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.cli.results import confirm, yes_option
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.usecases.housekeeping import Lying

provider_option = click.option(
    "--provider", "name", required=True, help="Profile; see `ftctl providers list`."
)


@click.group(epilog="\b\nExample:\n  ftctl files list --provider openai")
def files() -> None:
    """List and delete uploaded files: they cost privacy and quota until they are gone."""


@files.command("list", epilog="\b\nExample:\n  ftctl files list --provider openai --json")
@provider_option
@json_option
@click.pass_context
def list_(ctx: click.Context, name: str, as_json: bool) -> None:
    """List every file of the account, and the jobs of this ledger that were made from it."""
    from orchestrator.usecases.housekeeping import lying

    app = wiring.app(ctx)
    found = lying(app.provider(name), app.ledger(say))
    if as_json:
        print_json([_as_json(each) for each in found])
        return
    print_table(
        ("FILE", "NAME", "BYTES", "PURPOSE", "STATUS", "MADE", "JOBS"),
        [
            (
                each.file.id,
                each.file.name,
                "" if each.file.bytes is None else f"{each.file.bytes:,}",
                each.file.purpose,
                each.file.status,
                each.file.created_at.strftime("%Y-%m-%d %H:%M") if each.file.created_at else "",
                " ".join(job.id for job in each.jobs),
            )
            for each in found
        ],
    )


@files.command(
    epilog="\b\nExample:\n  ftctl files delete --provider openai file-abc\n"
    "  ftctl files delete --provider openai --unneeded"
)
@click.argument("file_ids", metavar="[FILE]...", nargs=-1)
@provider_option
@click.option(
    "--unneeded", is_flag=True, help="All files that ftctl sent and no unfinished job needs."
)
@yes_option
@json_option
@click.pass_context
def delete(
    ctx: click.Context,
    file_ids: tuple[str, ...],
    name: str,
    unneeded: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete files of the account; what an unfinished job needs stays."""
    from orchestrator.usecases import housekeeping

    if unneeded == bool(file_ids):
        raise UsageError("Name files, or say --unneeded.")
    app = wiring.app(ctx)
    provider, ledger = app.provider(name), app.ledger(say)
    if unneeded:
        found = housekeeping.lying(provider, ledger)
        file_ids = tuple(each.file.id for each in found if each.is_ours and not each.is_needed)
    if file_ids:
        confirm(f"Delete {len(file_ids)} files at {name} for good?", yes=yes)
    gone = housekeeping.delete_files(file_ids, provider, ledger)
    if as_json:
        print_json({"provider": name, "deleted": gone})
        return
    for file_id in gone:
        click.echo(f"deleted {file_id}")
    if not gone:
        say("nothing to delete")


def _as_json(each: Lying) -> dict[str, Any]:
    file = each.file
    return {
        "id": file.id,
        "name": file.name,
        "bytes": file.bytes,
        "purpose": file.purpose,
        "status": file.status,
        "created_at": file.created_at.isoformat() if file.created_at else None,
        "expires_at": file.expires_at.isoformat() if file.expires_at else None,
        "ours": each.is_ours,
        "needed": each.is_needed,
        "jobs": [job.id for job in each.jobs],
    }
