"""`ftctl adopt`: bring what an account had before ftctl into the ledger."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.domain.errors import ConfigurationError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.usecases.jobs.adopt import Adopted, Progress
    from orchestrator.usecases.jobs.fetching import Fetcher


@click.command(
    epilog="\b\nExample:\n"
    "  ftctl adopt --provider openai --dry-run\n"
    "  ftctl adopt --provider openai"
)
@click.option("--provider", "name", required=True, help="Profile; see `ftctl providers list`.")
@click.option("--dry-run", is_flag=True, help="Only list the jobs; write and fetch nothing.")
@click.option("--no-files", is_flag=True, help="Leave training, validation and result files there.")
@click.option(
    "--retry-files",
    is_flag=True,
    help="Ask again for files that were gone, forbidden or too large.",
)
@click.option(
    "--max-file-mb",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Largest file that is fetched.",
)
@json_option
@click.pass_context
def adopt(
    ctx: click.Context,
    name: str,
    dry_run: bool,
    no_files: bool,
    retry_files: bool,
    max_file_mb: int,
    as_json: bool,
) -> int:
    """Bring every job of an account into the ledger: history, checkpoints and files.

    Nothing at the provider changes. The same command again goes on where a stopped one was, fetches
    no file twice and changes nothing that is the same. Jobs that still run are followed by
    `ftctl sync` from then on. Training files become datasets, whatever their findings.
    """
    from orchestrator.usecases.jobs import adopt as adopting
    from orchestrator.usecases.jobs.fetching import MEGABYTE, Fetcher

    app = wiring.app(ctx)
    provider, ledger = app.provider(name), app.ledger(say)
    if dry_run:
        _print(adopting.survey(provider, ledger), None, name, as_json=as_json, dry_run=True)
        return ExitCode.DONE
    with app.claim("adopt") as ours:
        if not ours:
            raise ConfigurationError("Another process is adopting jobs now.", hint="ftctl status")
        app.archive.sweep()
        fetcher = (
            None
            if no_files
            else Fetcher(
                provider,
                ledger,
                app.archive,
                largest=max_file_mb * MEGABYTE,
                retry=retry_files,
            )
        )
        found = adopting.adopt(provider, ledger, fetcher, told=_shown())
    _print(found, fetcher, name, as_json=as_json, dry_run=False)
    return ExitCode.DONE


def _shown() -> Callable[[Progress], None]:
    """A line that counts on a terminal; a line for every hundred jobs elsewhere."""
    terminal = sys.stderr.isatty()

    def show(now: Progress) -> None:
        line = f"{now.done}/{now.total} jobs, {now.files} files, {now.bytes / 1e6:,.1f} MB"
        if terminal:
            click.echo(f"\r{line}" + ("\n" if now.done == now.total else ""), err=True, nl=False)
        elif now.done % 100 == 0 and now.done < now.total:
            say(line)

    return show


def _print(
    found: Adopted, fetcher: Fetcher | None, name: str, *, as_json: bool, dry_run: bool
) -> None:
    if as_json:
        print_json(_plain(found, fetcher, name, dry_run=dry_run))
        return
    will = "would be adopted" if dry_run else "adopted"
    click.echo(
        f"{name}: {found.listed} jobs listed; {found.adopted} {will}, {found.known} adopted before"
        f" ({found.changed} changed), {found.ours} made by ftctl"
    )
    if found.statuses:
        said = ", ".join(f"{count} {word}" for word, count in sorted(found.statuses.items()))
        click.echo(f"  {said}")
    for word, count in found.unknown_words.items():
        say(f"{count} jobs are '{word}', a word ftctl does not know; they are kept with it")
    _print_files(found, fetcher)
    if dry_run:
        say(f"dry run: nothing was written; next: ftctl adopt --provider {name}")
    else:
        say(f"next: ftctl evacuate --provider {name}")


def _print_files(found: Adopted, fetcher: Fetcher | None) -> None:
    if fetcher is None:
        return
    states = Counter(str(file.state) for file in found.files.values())
    said = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none named"
    click.echo(f"  files: {said}; {fetcher.fetched} fetched now ({fetcher.bytes / 1e6:,.1f} MB)")
    flawed = [file for file in found.files.values() if file.errors]
    if flawed:
        many = "1 training file has" if len(flawed) == 1 else f"{len(flawed)} training files have"
        say(f"{many} errors, kept as they are; ftctl evacuate says whose")
    for file in found.files.values():
        if file.note and file.digest:
            say(f"{file.remote_id}: {file.note}")


def _plain(found: Adopted, fetcher: Fetcher | None, name: str, *, dry_run: bool) -> dict[str, Any]:
    """What `adopt --json` prints; described in schemas/adopt.schema.json."""
    return {
        "provider": name,
        "dry_run": dry_run,
        "listed": found.listed,
        "adopted": found.adopted,
        "known": found.known,
        "changed": found.changed,
        "ours": found.ours,
        "statuses": dict(sorted(found.statuses.items())),
        "unknown_words": dict(sorted(found.unknown_words.items())),
        "fetched": {
            "files": fetcher.fetched if fetcher else 0,
            "bytes": fetcher.bytes if fetcher else 0,
        },
        "files": [
            {
                "remote_id": file.remote_id,
                "purpose": str(file.purpose),
                "name": file.name,
                "state": str(file.state),
                "bytes": file.bytes,
                "digest": file.digest,
                "errors": file.errors,
                "warnings": file.warnings,
                "note": file.note,
            }
            for _, file in sorted(found.files.items())
        ],
    }
