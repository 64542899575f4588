"""`ftctl worker`: run the self-hosted worker."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli.output import say
from orchestrator.domain.errors import MissingCredentials, MissingExtra

TOKEN_ENV = "FTCTL_WORKER_TOKEN"  # noqa: S105 - the name of a variable


@click.group(epilog="\b\nExample:\n  FTCTL_WORKER_TOKEN=... ftctl worker serve --port 8080")
def worker() -> None:
    """Run the self-hosted worker: OpenAI's fine-tuning API on your own machine."""


@worker.command(epilog="\b\nExample:\n  FTCTL_WORKER_TOKEN=... ftctl worker serve --port 8080")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for files, jobs and adapters.  [default: FTCTL_HOME/served-worker]",
)
@click.option("--token-env", default=TOKEN_ENV, show_default=True, help="Variable with the token.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all cores]")
@click.option(
    "--adapters",
    type=click.Path(file_okay=False, path_type=Path),
    help="Repository to serve by task.  [default: the folder of ftctl adapters]",
)
@click.pass_context
def serve(
    ctx: click.Context,
    host: str,
    port: int,
    home: Path | None,
    token_env: str,
    threads: int | None,
    adapters: Path | None,
) -> None:
    """Serve until interrupted. Clients need the token; it is read from the environment only."""
    settings = wiring.app(ctx).settings
    if importlib.util.find_spec("ftctl_worker") is None:
        raise MissingExtra("The worker is not installed.", hint="pip install ./worker")
    if not settings.environment.get(token_env):
        raise MissingCredentials(
            f"The worker needs a token in {token_env}.",
            hint=f"export {token_env}=$(openssl rand -hex 32)",
        )
    command = [sys.executable, "-m", "ftctl_worker", "serve", "--host", host, "--port", str(port)]
    command += ["--home", str(home or settings.home / "served-worker"), "--token-env", token_env]
    command += ["--threads", str(threads)] if threads else []
    served = adapters or settings.adapters().folder
    command += ["--adapters", str(served.absolute())] if served else []
    say(f"worker on http://{host}:{port}/v1, token from {token_env}; Ctrl-C stops it")
    # The worker takes this process over: signals and the exit code are its own.
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted
