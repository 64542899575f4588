"""`ftctl simulator`: a host that costs nothing, to rehearse against."""

from __future__ import annotations

import click

from orchestrator.cli.output import json_option, print_json, say


@click.group(
    epilog="\b\nExample:\n  ftctl simulator serve --port 8500 --dialect azure",
)
def simulator() -> None:
    """Rehearse against a provider that costs nothing."""


@simulator.command(
    epilog="""\b
Example:
  ftctl simulator serve --port 8500

\b
In ftctl.toml:
  [providers.rehearsal]
  kind = "simulator"
  base_url = "http://127.0.0.1:8500/v1"
"""
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--dialect",
    type=click.Choice(["openai", "azure", "azure-dated", "bare", "forgetful", "worker"]),
    default="openai",
    show_default=True,
    help="Whose manners to take.",
)
@json_option
def serve(host: str, port: int, dialect: str, as_json: bool) -> None:
    """Answer as a fine-tuning host would, until interrupted; forget everything after."""
    from orchestrator.wiring import servers

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url, "dialect": dialect})
        else:
            click.echo(url)
        say("The simulator answers there; press Ctrl-C to end it.")

    servers.serve_simulator(host, port, dialect, on_ready=ready)
