"""`ftctl models`: until when models can be trained and answer, and what comes instead."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.domain.errors import FtctlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from orchestrator.domain.jobs.lifecycle import Ending
    from orchestrator.usecases.jobs.model_list import ListedModel

_SPAN = re.compile(r"(\d{1,4})\s*([dwmy]?)")
_DAYS = {"": 1, "d": 1, "w": 7, "m": 30, "y": 365}


def _within(_ctx: click.Context, _option: click.Parameter, text: str) -> timedelta:
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise click.BadParameter(f"'{text}' is no span of time; write 90d, 12w, 6m or 1y")
    return timedelta(days=int(found[1]) * _DAYS[found[2]])


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        json_option,
        click.option(
            "--within", default="90d", show_default=True, callback=_within, help="90d, 12w, 6m, 1y."
        ),
        click.option("--expiring", is_flag=True, help="Only those with a day within that span."),
        click.option("--provider", help="Only this profile's; it is asked, if it can be."),
    ):
        command = option(command)
    return command


@click.group(
    invoke_without_command=True,
    epilog="\b\nExample:\n  ftctl models --expiring --within 90d\n"
    "  ftctl models list --provider openai",
)
@_options
@click.pass_context
def models(ctx: click.Context, /, **typed: Any) -> None:
    """Tell until when models can be trained and answer. Alone, it does what `list` does."""
    if ctx.invoked_subcommand is None:
        _show(ctx, **typed)


@models.command(
    "list", epilog="\b\nExample:\n  ftctl models list\n  ftctl models list --expiring --json"
)
@_options
@click.pass_context
def list_models(ctx: click.Context, /, **typed: Any) -> None:
    """List your tuned models and the base models, with their last days and who names them.

    Works without a network. A profile that is named is asked for its own days, in one request; an
    answer of your own stands in ftctl.toml under [[lifecycle]] and comes first.
    """
    _show(ctx, **typed)


def _show(
    ctx: click.Context, *, provider: str | None, expiring: bool, within: timedelta, as_json: bool
) -> None:
    from orchestrator.usecases.jobs import model_list

    app = wiring.app(ctx)
    kind = app.settings.profile(provider).kind if provider else None
    if provider:
        _ask(app, provider)
    jobs = app.jobs.all() if app.has_ledger else []
    mine = [job for job in jobs if provider in {None, job.provider}]
    found = model_list.list_models(app.lifecycle, mine, kind=kind)
    today = app.clock.now().date()
    shown = [each for each in found if not expiring or each.expires(today, within)]
    if as_json:
        print_json([_plain(each, today) for each in shown])
        return
    if not shown:
        said = f" that ends within {within.days} days" if expiring else ""
        say(f"no model is known{said}")
        return
    print_table(
        (
            "PROVIDER",
            "MODEL",
            "JOB",
            "TRAINS UNTIL",
            "ANSWERS UNTIL",
            "TUNED UNTIL",
            "SAYS",
            "THEN",
        ),
        [_cells(each, today) for each in shown],
    )
    _tell_unasked(app)


def _ask(app: wiring.App, provider: str) -> None:
    """Ask the profile's provider now; what it said before is shown when it cannot be asked."""
    from orchestrator.usecases.jobs.model_dates import read_dates
    from orchestrator.usecases.jobs.tally import Tally

    try:
        found = app.provider(provider)
        if found.capabilities.model_dates:
            read_dates(found, app.ledger(say), Tally())
    except FtctlError as error:
        say(f"{provider} was not asked, so this is what is known already: {error.message}")


def _tell_unasked(app: wiring.App) -> None:
    for error in app.model_dates.unasked().values() if app.has_ledger else ():
        say(f"the last pass of sync could not ask for days: {error}")


def _cells(each: ListedModel, today: date) -> tuple[str, ...]:
    row = each.row
    base = row is not None and not each.is_tuned
    return (
        each.provider,
        each.model,
        each.job or "",
        _training(each, today),
        _day(each.answers, today),
        _day(row.ending("serving_ends"), today) if row and base and row.trainable else "",
        _says(each),
        (row.replacement or "") if row else "",
    )


def _training(each: ListedModel, today: date) -> str:
    if each.row is None:
        return "not known"
    if not each.row.trainable:
        return "never"
    return _day(each.row.ending("training_ends"), today)


def _day(ending: Ending | None, today: date) -> str:
    if ending is None:
        return "not known"
    if ending.day is None:
        return "no end"
    left = (ending.day - today).days
    return f"{ending.day} ({'over' if left <= 0 else f'{left} days'})"


def _says(each: ListedModel) -> str:
    """Who names the days, each once, with the day it was read."""
    said = {f"{end.said.origin} {end.said.read_on}" for end in each.endings}
    return ", ".join(sorted(said))


def _plain(each: ListedModel, today: date) -> dict[str, Any]:
    row = each.row
    return {
        "provider": each.provider,
        "model": each.model,
        "tuned": each.is_tuned,
        "job": each.job,
        "profile": each.profile,
        "base": row.model if row else None,
        "trainable": row.may_train(today) if row else None,
        "methods": list(row.methods) if row else [],
        "training_ends": _ending(row.ending("training_ends") if row else None, today),
        "answers_until": _ending(each.answers, today),
        "tuned_answer_until": _ending(row.ending("serving_ends") if row else None, today),
        "replacement": row.replacement if row else None,
        "note": row.note if row else "",
    }


def _ending(ending: Ending | None, today: date) -> dict[str, Any] | None:
    if ending is None:
        return None
    return {
        "date": ending.day.isoformat() if ending.day else None,
        "days_left": ending.days_left(today),
        "origin": str(ending.said.origin),
        "source": ending.said.source,
        "read_on": ending.said.read_on.isoformat(),
    }
