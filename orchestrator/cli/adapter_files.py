"""`ftctl adapters pull | verify | export | mirror | serve-to`: the files, and who answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, printable, say
from orchestrator.domain.adapters.names import parse_address
from orchestrator.domain.adapters.ports import AdapterHost
from orchestrator.domain.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from orchestrator.usecases.adapters.verify import Examiner, Verification


_OUT = click.Path(file_okay=False, path_type=Path)


@click.command(epilog="\b\nExample:\n  ftctl adapters pull tickets@champion ./tickets")
@click.argument("name", metavar="TASK[@VERSION]")
@click.argument("out", type=_OUT)
@json_option
@click.pass_context
def pull(ctx: click.Context, name: str, out: Path, as_json: bool) -> None:
    """Copy a version into a new folder; every byte is checked on the way."""
    from orchestrator.usecases.adapters.copies import pull as copy

    address = parse_address(name)
    manifest = copy(wiring.app(ctx).adapters, address.task, address.wanted, out)
    if as_json:
        print_json({"folder": str(out), **manifest.as_json()})
    else:
        click.echo(f"{manifest.task}@{manifest.version} → {printable(str(out))}")


@click.command(
    epilog="\b\nExample:\n  ftctl adapters verify tickets\n"
    "  ftctl adapters verify tickets@v2 --base ./newer-base"
)
@click.argument("name", metavar="TASK[@VERSION]")
@click.option("--base", help="Load it on this base model instead of its own.")
@click.option("--provider", default="local", show_default=True, help="The worker that answers.")
@click.option("--files-only", is_flag=True, help="Ask nobody.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="NATS",
    help="Largest change of a log probability.  [default: 0.05]",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    name: str,
    base: str | None,
    provider: str,
    files_only: bool,
    tolerance: float | None,
    as_json: bool,
) -> int:
    """Check the trail, every byte, that it loads on its base, and that it answers as it did.

    Exit code 1: something differs. 10: something could not be asked.
    """
    from orchestrator.usecases.adapters.probes import TOLERANCE
    from orchestrator.usecases.adapters.verify import verify as examine

    app, address = wiring.app(ctx), parse_address(name)
    allowed = TOLERANCE if tolerance is None else tolerance
    who = None if files_only else _examiner(app, provider, base, allowed)
    found = examine(app.adapters, address.task, address.wanted, who)
    if as_json:
        print_json(_plain(found))
    else:
        _print(found)
    if found.ok is None:
        return ExitCode.INCONCLUSIVE
    return ExitCode.DONE if found.ok else ExitCode.NO


@click.command(
    epilog="\b\nExample:\n  ftctl adapters export tickets ./out\n"
    "  ftctl adapters export tickets@v2 ./out --merged\n"
    "  ftctl adapters export tickets@v2 ./out --gguf"
)
@click.argument("name", metavar="TASK[@VERSION]")
@click.argument("out", type=_OUT)
@click.option("--merged", is_flag=True, help="Base and adapter as one model, in safetensors.")
@click.option("--gguf", is_flag=True, help="The merged model as one GGUF file, for llama.cpp.")
@click.option("--base", help="Merge into this base model instead of its own.")
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    name: str,
    out: Path,
    merged: bool,
    gguf: bool,
    base: str | None,
    as_json: bool,
) -> None:
    """Write a version with its card into a new folder: the adapter, or merged weights."""
    from orchestrator.usecases.adapters.copies import pull as copy

    app, address = wiring.app(ctx), parse_address(name)
    if out.exists():
        raise UsageError(f"{out} is there already.", hint="name a folder that is not")
    if not (merged or gguf):
        manifest = copy(app.adapters, address.task, address.wanted, out)
    else:
        with app.adapters.stage() as stage:
            manifest = copy(app.adapters, address.task, address.wanted, stage / "adapter")
            named = base or manifest.base_model["name"] or ""
            wiring.export_merged(app, stage / "adapter", named, out, gguf=gguf)
    if as_json:
        files = sorted(each.name for each in out.iterdir())
        version = f"{manifest.task}@{manifest.version}"
        print_json({"name": version, "folder": str(out), "files": files})
    else:
        click.echo(f"{manifest.task}@{manifest.version} → {printable(str(out))}")


@click.command(epilog="\b\nExample:\n  ftctl adapters mirror /srv/adapters")
@click.argument("folder", type=_OUT)
@json_option
@click.pass_context
def mirror(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Bring a folder to the state of the repository: versions, aliases, trail. Made for cron."""
    from orchestrator.usecases.adapters.copies import mirror as copy

    app = wiring.app(ctx)
    added = copy(app.adapters, wiring.adapter_repo(app.settings, folder))
    if as_json:
        print_json({"folder": str(folder), "added": added})
    for task, news in ({} if as_json else added).items():
        click.echo(f"{task}: {', '.join(news)}")


@click.command(
    "serve-to",
    epilog="\b\nExample:\n  ftctl adapters serve-to http://127.0.0.1:8000\n"
    "  ftctl adapters serve-to https://gpu/v1 tickets --seen-as /mnt/adapters --key-env VLLM_KEY",
)
@click.argument("url")
@click.argument("tasks", nargs=-1)
@click.option("--seen-as", metavar="PATH", help="Where the server sees the repository.")
@click.option("--key-env", metavar="NAME", help="Variable with the server's key.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
@click.pass_context
def serve_to(
    ctx: click.Context,
    url: str,
    tasks: tuple[str, ...],
    seen_as: str | None,
    key_env: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let a vLLM server hold what the aliases mean: TASK for its champion, and TASK@ALIAS.

    Again changes nothing; after a promotion it moves the names. Run it from cron, or after promote.
    """
    from orchestrator.usecases.adapters.serving import serve_to as serve
    from orchestrator.usecases.adapters.serving import strangers, wanted_names

    app = wiring.app(ctx)
    repo = app.adapters.repo
    chosen = [parse_address(task).task for task in tasks] or list(repo.tasks())
    root = PurePosixPath(seen_as) if seen_as else None
    wanted = wanted_names(repo, chosen, root)
    server = wiring.vllm_server(app, url, key_env)
    for name, base in strangers(repo, chosen, server.bases()).items():
        say(f"{name} was trained over {base}; the server does not call its base so")
    done = serve(server, wanted, tasks=chosen, dry_run=dry_run)
    if as_json:
        print_json(asdict(done) | {"url": url, "dry_run": dry_run})
        return
    for word, names in asdict(done).items():
        for name in names:
            click.echo(f"{word:9} {name}")


def _examiner(app: wiring.App, profile: str, base: str | None, tolerance: float) -> Examiner:
    from orchestrator.usecases.adapters.verify import Examiner

    provider = app.provider(profile)
    here = app.settings.profile(profile).embedded
    if base is not None and not here:
        raise UsageError("--base needs a worker on this machine.", hint="--provider local")
    files = provider if isinstance(provider, AdapterHost) else None
    return Examiner(chat=provider, files=files, reads_here=here, base=base, tolerance=tolerance)


def _plain(found: Verification) -> dict[str, Any]:
    return {
        "name": f"{found.task}@{found.version}",
        "ok": found.ok,
        "checks": [check._asdict() for check in found.checks],
        "probes": [asdict(probe) for probe in found.probes],
    }


def _print(found: Verification) -> None:
    click.echo(f"{found.task}@{found.version}")
    words = {True: "ok", False: "NO", None: "?"}
    for check in found.checks:
        click.echo(printable(f"  {words[check.ok]:3} {check.name}: {check.detail}"))
    for probe in found.probes:
        if probe.note:
            click.echo(printable(f"      {probe.asked!r}: {probe.note}"))
            click.echo(printable(f"        was {probe.was!r}"))
            click.echo(printable(f"        now {probe.now!r}"))
