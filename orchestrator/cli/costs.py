"""`ftctl costs`: what was reserved and spent, and what is left of the budgets."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.domain.money.spending import month_of
from orchestrator.domain.money.usd import money

if TYPE_CHECKING:
    from orchestrator.usecases.deciding.costs import Line, Statement, Total

# More than any job costs, and less than the ledger's integers hold.
_MOST_USD = 1_000_000
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
EVERY = "all"


@click.group(
    invoke_without_command=True,
    epilog="\b\nExample:\n  ftctl costs\n  ftctl costs --month 2026-11 --provider openai\n"
    "  ftctl costs --month all --csv > costs.csv\n"
    "  ftctl costs settle 7k2 --amount 3.10 --note 'invoice 4711'",
)
@click.option("--month", metavar="YYYY-MM", help="UTC month, or `all`.  [default: this one]")
@click.option("--provider", metavar="PROFILE", help="Only this profile.")
@click.option("--csv", "as_csv", is_flag=True, help="For a spreadsheet; formulas are defused.")
@json_option
@click.pass_context
def costs(
    ctx: click.Context, month: str | None, provider: str | None, as_csv: bool, as_json: bool
) -> int:
    """Show what training, evaluation and hosting came to, and what is left of the budgets.

    Budgets are `usd_per_month` under [budget], and `budget_usd_per_month` under [providers.NAME],
    in ftctl.toml. What has no price is listed as unpriced, and is in no sum.
    """
    if ctx.invoked_subcommand is not None:
        return ExitCode.DONE
    from orchestrator.usecases.comparing.allowance import release_dead
    from orchestrator.usecases.deciding import costs as counting

    app = wiring.app(ctx)
    release_dead(app.vault())
    found = counting.statement(
        app.spendings.all(),
        app.hosted(),
        app.settings.budgets(),
        app.clock.now(),
        month=_wanted(month) if month else month_of(app.clock.now()),
        profile=provider,
    )
    if as_json:
        print_json(found.as_json())
    elif as_csv:
        click.echo(counting.to_csv(found.lines), nl=False)
    else:
        _print(found)
    return ExitCode.DONE


@costs.command(
    epilog="\b\nExample:\n  ftctl costs settle 7k2 --amount 3.10 --note 'invoice 4711'\n"
    "  ftctl costs settle 7k2 --amount 0 --note 'credited'"
)
@click.argument("job_id", metavar="JOB")
@click.option(
    "--amount", required=True, metavar="USD", help="What the invoice says, without taxes."
)
@click.option("--note", default="", metavar="TEXT", help="Where it says so; kept in the ledger.")
@json_option
@click.pass_context
def settle(ctx: click.Context, job_id: str, amount: str, note: str, as_json: bool) -> int:
    """Enter what JOB was billed, where it is `unclear`: the provider told no amount.

    The amount takes the place of the reservation in its month, also in the budgets. An amount that
    was entered so can be entered again; one that the provider told stays.
    """
    from orchestrator.usecases.deciding.invoicing import settle_invoiced

    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    after = settle_invoiced(job.id, _dollars(amount), note, app.spendings, app.clock.now())
    if as_json:
        print_json({"job_id": job.id, "month": after.month, **after.as_json()})
    else:
        off = f", {after.error_words}" if after.error_words else ""
        click.echo(f"job {job.id} came to {money(after.actual)} ({after.note}{off})")
    return ExitCode.DONE


def _dollars(amount: str) -> Decimal:
    try:
        usd = Decimal(amount.removeprefix("$"))
    except InvalidOperation:
        usd = Decimal(-1)
    if not usd.is_finite() or not 0 <= usd <= _MOST_USD:
        raise UsageError(f"'{amount}' is no amount in dollars.", hint="--amount 3.10")
    return usd


def _wanted(month: str) -> str | None:
    if month == EVERY:
        return None
    if not _MONTH.fullmatch(month):
        raise UsageError(f"'{month}' is no month.", hint="--month 2026-11, or --month all")
    return month


def _print(found: Statement) -> None:
    if not found.lines and all(total.budget is None for total in found.totals):
        say("nothing was spent; the estimate of a job: ftctl submit FILE --dry-run")
        return
    if found.lines:
        columns = ("MONTH", "PROVIDER", "WHAT", "JOB", "FOR", "STATE", "RESERVED", "ACTUAL", "NOTE")
        print_table(columns, [_row(line) for line in found.lines])
        click.echo()
    sums = ("MONTH", "PROVIDER", "RESERVED", "ACTUAL", "BUDGET", "LEFT", "")
    print_table(sums, [_sum(total) for total in found.totals])


def _row(line: Line) -> tuple[str, ...]:
    actual = "unpriced" if line.unpriced else "" if line.actual is None else money(line.actual)
    return (
        line.month,
        line.profile,
        str(line.purpose),
        line.job_id or "",
        line.subject,
        line.state,
        money(line.reserved) if line.reserved else "",
        actual,
        line.note,
    )


def _sum(total: Total) -> tuple[str, ...]:
    budget = ("no limit", "") if total.left is None else (money(total.budget), money(total.left))
    unpriced = f"{total.unpriced} unpriced besides" if total.unpriced else ""
    name = total.profile or "in all"
    return total.month, name, money(total.reserved), money(total.spent), *budget, unpriced
