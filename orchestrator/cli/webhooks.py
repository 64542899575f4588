"""`ftctl webhooks`: hear from the provider that a job has ended, instead of asking."""

from __future__ import annotations

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.domain.profile import is_loopback
from orchestrator.wiring import servers

EXAMPLE = """\b
Example:
  OPENAI_WEBHOOK_SECRET=whsec_... ftctl webhooks serve --profile openai --port 8600
"""


@click.group(epilog=EXAMPLE)
def webhooks() -> None:
    """Hear from the provider that a job has ended, instead of asking."""


@webhooks.command(epilog=EXAMPLE)
@click.option("--profile", required=True, metavar="PROFILE", help="Whose webhooks.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8600,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@json_option
@click.pass_context
def serve(ctx: click.Context, profile: str, host: str, port: int, as_json: bool) -> None:
    """Take in signed fine_tuning.job.* webhooks until interrupted, and look at the jobs they name.

    Put a proxy with TLS in front. The secret (or several, while one replaces another) is read from
    OPENAI_WEBHOOK_SECRET, or from the variable that the profile's webhook_secret_env names. What a
    webhook says is a hint: the provider is asked, as `ftctl sync` would. Keep sync in cron.
    """

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url, "profile": profile})
        else:
            click.echo(url)
        if not is_loopback(host):
            say("this is plain http: let only a proxy with TLS reach it")
        say("webhooks are taken in there; Ctrl-C ends it")

    servers.serve_webhooks(wiring.app(ctx), profile, (host, port), on_ready=ready, say=say)
