"""`ftctl ui`: the same ledger, data and reports in a browser on this machine."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, say
from orchestrator.domain.profile import is_loopback
from orchestrator.wiring import servers

EXAMPLE = """\b
Example:
  ftctl ui
  ftctl ui --files data --port 8700 --open
"""


@click.command(epilog=EXAMPLE)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--files",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Folder of datasets that pages may read.  [default: the working folder]",
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="Host name that a proxy in front has."
)
@click.option("--open", "opens", is_flag=True, help="Open the link in the browser.")
@json_option
@click.pass_context
def ui(
    ctx: click.Context,
    host: str,
    port: int,
    folder: Path,
    names: tuple[str, ...],
    opens: bool,
    as_json: bool,
) -> None:
    """Serve jobs, data, comparisons and reports as web pages, on this machine alone, until Ctrl-C.

    The link that is printed lets one browser in, once. Datasets are named, not sent: the pages read
    those of one folder. What is submitted goes through the same checks and the same question about
    its price as `ftctl submit`.
    """
    from orchestrator.ui.access import Gatekeeper
    from orchestrator.ui.site import Site

    app = wiring.app(ctx)
    own = frozenset(name.lower() for name in names)
    site = Site(app, Gatekeeper(app.clock.now, names=own), folder, say)

    def ready(url: str) -> None:
        link = site.listens(url)
        if as_json:
            print_json({"url": url, "link": link, "files": str(site.desk.files.folder)})
        else:
            click.echo(link)
        if not is_loopback(host):
            say("WARNING: other machines reach this, over plain http: let only a proxy with TLS do")
        say("open that link in a browser; Ctrl-C ends it")
        if opens:
            webbrowser.open(link)

    try:
        servers.serve_pages((host, port), site, on_ready=ready)
    finally:
        site.close()
