"""`ftctl prices`: what is known of prices, and whether it can still be relied on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, printable, say
from orchestrator.domain.errors import ExitCode
from orchestrator.domain.money.own_rows import UNITS

if TYPE_CHECKING:
    from datetime import date

    from orchestrator.domain.money.prices import Price, PriceBook
    from orchestrator.usecases.jobs.price_check import PriceCheck

_UNIT = {"million_tokens": "1M tokens", "hour": "hour"}


@click.group(epilog="\b\nExample:\n  ftctl prices list --model gpt-4.1-mini\n  ftctl prices check")
def prices() -> None:
    """List dated prices with their sources, and check them."""


@prices.command(
    "list",
    epilog="\b\nExample:\n  ftctl prices list --provider azure --model gpt-4.1-mini\n"
    "  ftctl prices list --kind gpu_hour",
)
@click.option("--provider", help="A profile, a kind (openai, azure), or who rents out a GPU.")
@click.option("--model", help="Base or tuned model, with or without its date.")
@click.option(
    "--kind", "kinds", type=click.Choice(list(UNITS)), multiple=True, help="What is paid for."
)
@json_option
@click.pass_context
def list_prices(
    ctx: click.Context,
    provider: str | None,
    model: str | None,
    kinds: tuple[str, ...],
    as_json: bool,
) -> None:
    """List prices: in dollars, per what, where and when they were read.

    What is not listed is unpriced, never free. Your own prices stand in ftctl.toml under
    [[prices]] and come first.
    """
    from orchestrator.usecases.jobs.price_check import chosen

    app = wiring.app(ctx)
    found = chosen(app.prices, _kind(app, provider), model, kinds)
    today = app.clock.now().date()
    if as_json:
        print_json([_plain(price, app.prices, today) for price in found])
        return
    if not found:
        say("no such price is known: it counts as unpriced; [[prices]] in ftctl.toml adds one")
        return
    sources = list(dict.fromkeys(price.who for price in found))
    print_table(
        ("PROVIDER", "MODEL", "KIND", "TIER", "USD", "PER", "READ", "CONFIDENCE", "SOURCE"),
        [(*_cells(price, today), f"[{sources.index(price.who) + 1}]") for price in found],
    )
    for number, source in enumerate(sources, 1):
        click.echo(f"[{number}] {printable(source)}")


@prices.command("check", epilog="\b\nExample:\n  ftctl prices check\n  ftctl prices check --json")
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> int:
    """Say which prices are old, which models of your jobs have none, and which are your own.

    Exit code 1: something that the ledger's jobs need was read over 60 days ago, or has no price.
    """
    from orchestrator.usecases.jobs.price_check import check_prices

    app = wiring.app(ctx)
    jobs = app.jobs.all() if app.has_ledger else []
    found = check_prices(app.prices, jobs, app.clock.now().date())
    if as_json:
        print_json(_check_json(found))
    else:
        _tell(found)
    return ExitCode.DONE if found.ok else ExitCode.NO


def _kind(app: wiring.App, provider: str | None) -> str | None:
    """What the price file calls a profile's provider; any other word as it is."""
    if provider is None or provider not in app.settings.profile_names():
        return provider
    return app.settings.profile(provider).kind


def _cells(price: Price, today: date) -> tuple[str, ...]:
    age = f"{price.read_on}" + (" (old)" if price.is_stale(today) else "")
    return (
        *(price.provider, price.model, price.kind, price.tier, f"{price.usd:g}"),
        *(_UNIT.get(price.unit, price.unit), age, price.confidence),
    )


def _plain(price: Price, book: PriceBook, today: date) -> dict[str, Any]:
    listed = book.listed(price) if price.own else None
    return {
        "provider": price.provider,
        "model": price.model,
        "kind": price.kind,
        "usd": price.usd,
        "unit": price.unit,
        "tier": price.tier,
        "source": price.source,
        "read_on": price.read_on.isoformat(),
        "confidence": price.confidence,
        "stale": price.is_stale(today),
        "own": price.own,
        "replaces_usd": listed.usd if listed else None,
    }


def _check_json(found: PriceCheck) -> dict[str, Any]:
    return {
        "ok": found.ok,
        "compiled": found.compiled.isoformat(),
        "rows": found.rows,
        "old": [
            {
                "source": each.source,
                "read_on": each.read_on.isoformat(),
                "days": each.days,
                "rows": each.rows,
                "models": list(each.models),
            }
            for each in found.old
        ],
        "unpriced": [
            {
                "provider": each.provider,
                "model": each.model,
                "jobs": each.jobs,
                "kinds": list(each.unpriced),
            }
            for each in found.unpriced
        ],
        "overrides": [
            {
                "provider": own.provider,
                "model": own.model,
                "kind": own.kind,
                "tier": own.tier,
                "usd": own.usd,
                "replaces_usd": listed.usd if listed else None,
            }
            for own, listed in found.overrides
        ],
    }


def _tell(found: PriceCheck) -> None:
    click.echo(f"{found.rows} prices, put together on {found.compiled}")
    for old in found.old:
        count = "1 price" if old.rows == 1 else f"{old.rows} prices"
        said = f"{old.source}: {count} read on {old.read_on}, {old.days} days ago"
        models = f"; your jobs rest on it: {', '.join(old.models)}" if old.models else ""
        click.echo(
            printable(f"{'OLD' if old.models else 'old, and no job rests on it'}  {said}{models}")
        )
    for used in found.unpriced:
        what = ", ".join(used.unpriced)
        jobs = "1 job" if used.jobs == 1 else f"{used.jobs} jobs"
        click.echo(printable(f"UNPRICED  {used.provider} {used.model} ({jobs}): {what}"))
    for own, listed in found.overrides:
        instead = f"instead of ${listed.usd:g}" if listed else "replaces nothing that is listed"
        said = f"yours  {own.provider} {own.model} {own.kind} ({own.tier}): ${own.usd:g}"
        click.echo(printable(f"{said} per {_UNIT[own.unit]}, {instead}"))
    if not found.ok:
        say("next: read the price again and write it, with its day, under [[prices]] in ftctl.toml")
