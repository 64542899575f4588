"""`ftctl cron`: the line, or the timer, that polls for you."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json

_SYSTEMD = """# ~/.config/systemd/user/ftctl-sync.service
[Unit]
Description=ftctl sync: one pass over unfinished fine-tuning jobs

[Service]
Type=oneshot
{environment}
# Keys, readable by you alone; one NAME=value a line.
EnvironmentFile=-%h/.config/ftctl/keys.env
ExecStart={program} sync
# 1: a job failed or needs review; 4: a provider cannot be asked now. Neither breaks the timer.
SuccessExitStatus=1 4

# ~/.config/systemd/user/ftctl-sync.timer
[Unit]
Description=ftctl sync, every {every} minutes

[Timer]
OnCalendar=*:0/{every}
RandomizedDelaySec=15
Persistent=true

[Install]
WantedBy=timers.target

# then: systemctl --user daemon-reload && systemctl --user enable --now ftctl-sync.timer"""


@click.command(
    epilog="\b\nExample:\n  (crontab -l; ftctl cron) | crontab -\n  ftctl cron --systemd"
)
@click.option("--every", type=click.IntRange(1, 59), default=5, show_default=True, help="Minutes.")
@click.option("--systemd", is_flag=True, help="A systemd user timer instead.")
@json_option
@click.pass_context
def cron(ctx: click.Context, every: int, systemd: bool, as_json: bool) -> None:
    """Print the crontab line for this installation; it prints mail only when something changed."""
    settings = wiring.app(ctx).settings
    program = shutil.which("ftctl") or str(Path(sys.argv[0]).absolute())
    environment = {"FTCTL_HOME": str(settings.home)}
    if settings.config_file:
        environment["FTCTL_CONFIG"] = str(settings.config_file.absolute())
    name, text = (
        ("systemd", _timer(program, environment, every))
        if systemd
        else ("crontab", _line(program, environment, every))
    )
    if as_json:
        print_json({name: text})
    else:
        click.echo(text)


def _line(program: str, environment: dict[str, str], every: int) -> str:
    words = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    # A percent sign ends a command in a crontab.
    return f"*/{every} * * * * {' '.join(words)} {shlex.quote(program)} sync".replace("%", r"\%")


def _timer(program: str, environment: dict[str, str], every: int) -> str:
    lines = [f"Environment={_systemd_quoted(f'{k}={v}')}" for k, v in environment.items()]
    return _SYSTEMD.format(
        environment="\n".join(lines), program=_systemd_quoted(program), every=every
    )


def _systemd_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(each in text for each in ' "\\') else escaped
