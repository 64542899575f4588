"""`ftctl notifications`: who was told of what, and what is still to be told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.domain.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from orchestrator.domain.jobs.notification import Notification, Subscriber

_NEWEST = 50


@click.group(epilog="\b\nExample:\n  ftctl notifications list\n  ftctl notifications test ops")
def notifications() -> None:
    """Who is told when a job ends or needs review: the [[notify]] entries of ftctl.toml."""


@notifications.command("list", epilog="\b\nExample:\n  ftctl notifications list --json")
@click.option("--all", "every", is_flag=True, help="All, not only the newest 50.")
@json_option
@click.pass_context
def list_notifications(ctx: click.Context, every: bool, as_json: bool) -> None:
    """List notifications, newest first."""
    app = wiring.app(ctx)
    subscribers = app.settings.subscribers()
    found = app.outbox.all(None if every else _NEWEST)
    if as_json:
        print_json([_plain(each) for each in found])
        return
    if not found:
        names = ", ".join(f"{each.name} ({each.target})" for each in subscribers)
        say(f"nothing was to be told yet; to be told: {names or 'nobody, see [[notify]]'}")
        return
    columns = ("ID", "WHO", "JOB", "IS", "STATE", "TRIES", "NEXT", "LAST")
    print_table(columns, [_line(each) for each in found])


@notifications.command("test", epilog="\b\nExample:\n  ftctl notifications test ops")
@click.argument("names", nargs=-1)
@json_option
@click.pass_context
def test(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> int:
    """Send a notification of type "test", now, to each entry or to those named.

    Exit code: 0 all took it; 4 one did not.
    """
    from orchestrator.usecases.notifying import probe

    app = wiring.app(ctx)
    outcomes = [
        (each, probe(each, app.courier, app.clock))
        for each in _chosen(app.settings.subscribers(), names)
    ]
    if as_json:
        print_json(
            [
                {"name": each.name, "target": each.target, "ok": outcome.ok, "told": outcome.told}
                for each, outcome in outcomes
            ]
        )
    else:
        print_table(
            ("WHO", "WHERE", "TOOK IT", "DETAIL"),
            [
                (each.name, each.target, "yes" if outcome.ok else "no", outcome.told)
                for each, outcome in outcomes
            ],
        )
    return ExitCode.DONE if all(outcome.ok for _, outcome in outcomes) else ExitCode.TRY_LATER


@notifications.command(
    epilog="\b\nExample:\n  ftctl notifications retry\n  ftctl notifications retry ntf_3f9a"
)
@click.argument("notification", metavar="[ID]", required=False)
@json_option
@click.pass_context
def retry(ctx: click.Context, notification: str | None, as_json: bool) -> int:
    """Try everything that is not delivered again, now; or one notification, delivered or not.

    Exit code: 0 all delivered; 4 one is not.
    """
    app = wiring.app(ctx)
    app.settings.subscribers()
    due = app.outbox.revive(app.clock.now(), notification)
    told = app.tell_others(say)
    if as_json:
        print_json(
            {
                "due": due,
                "delivered": told.delivered,
                "failed": [_plain(each) for each in told.failures],
            }
        )
    else:
        click.echo(f"{told.delivered} delivered, {len(told.failures)} failed")
    return ExitCode.TRY_LATER if told.failures or told.delivered < due else ExitCode.DONE


def _chosen(found: list[Subscriber], names: tuple[str, ...]) -> list[Subscriber]:
    known = {each.name: each for each in found}
    if not known:
        raise UsageError(
            "ftctl.toml has no [[notify]].", hint='[[notify]]  url = "https://..."  on = ["failed"]'
        )
    for name in names:
        if name not in known:
            raise UsageError(
                f"There is no [[notify]] entry '{name}'; known are {', '.join(known)}.",
                hint=f"ftctl notifications test {next(iter(known))}",
            )
    return [known[name] for name in names] or found


def _plain(each: Notification) -> dict[str, Any]:
    return {
        "id": each.id,
        "subscriber": each.subscriber,
        "job": each.job_id,
        "topic": each.topic,
        "state": str(each.state),
        "attempts": each.attempts,
        "created_at": each.created_at.isoformat(),
        "next_at": each.next_at.isoformat() if each.next_at else None,
        "delivered_at": each.delivered_at.isoformat() if each.delivered_at else None,
        "last": each.last,
        "body": json.loads(each.body),
    }


def _line(each: Notification) -> tuple[str, ...]:
    after = f"{each.next_at:%m-%d %H:%M}" if each.next_at else ""
    job, tries = each.job_id or "", str(each.attempts)
    return each.id, each.subscriber, job, each.topic, str(each.state), tries, after, each.last
