"""`ftctl rows` and `ftctl comparisons`: read what was asked, wanted and answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator import wiring
from orchestrator.cli.output import (
    console,
    json_option,
    print_json,
    print_table,
    printable,
    say,
)
from orchestrator.domain.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.comparing.comparison import Comparison

_SHOWN = 2000
EXAMPLE = """\b
Example:
  ftctl rows JOB --lost
  ftctl rows COMPARISON --lost --slice billing --arm tuned --arm few-shot:8
  ftctl rows COMPARISON --all --csv > rows.csv
  ftctl rows COMPARISON --junit > junit.xml
"""


@click.command(epilog=EXAMPLE)
@click.argument("comparison", metavar="COMPARISON")
@click.option("--won", "outcome", flag_value="won", help="Rows the candidate won.")
@click.option("--lost", "outcome", flag_value="lost", help="Rows it lost.")
@click.option("--same", "outcome", flag_value="same", help="Rows on which both scored alike.")
@click.option("--all", "outcome", flag_value="", default="", help="Every row. The default.")
@click.option("--against", metavar="ARM", help="Baseline; the verdict's own by default.")
@click.option("--slice", "part", metavar="NAME", help="Only rows of this slice.")
@click.option("--arm", "arms", multiple=True, metavar="ARM", help="Only these arms' answers.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Rows.")
@click.option("--csv", "form", flag_value="csv", help="For a spreadsheet; formulas are defused.")
@click.option("--junit", "form", flag_value="junit", help="JUnit XML of gates and rows, for CI.")
@click.option("--promptfoo", "form", flag_value="promptfoo", help="As promptfoo's results file.")
@json_option
@click.pass_context
def rows(
    ctx: click.Context,
    /,
    *,
    comparison: str,
    outcome: str,
    against: str | None,
    part: str | None,
    arms: tuple[str, ...],
    limit: int,
    form: str | None,
    as_json: bool,
) -> int:
    """Read the rows of COMPARISON side by side: what was asked, wanted and answered.

    The id of a job stands for its newest comparison.
    """
    from orchestrator.usecases.comparing.rows import rows_of

    app = wiring.app(ctx)
    whole = form and ctx.get_parameter_source("limit") is click.core.ParameterSource.DEFAULT
    one = app.comparisons.find(comparison)
    found = rows_of(
        app.comparisons,
        one,
        outcome=outcome or None,
        against=against,
        part=part,
        arms=arms,
        limit=None if whole else limit,
    )
    if as_json:
        print_json(found)
    elif form:
        click.echo(_written(form, one, found), nl=False)
    else:
        for row in found:
            _show(row)
        say(f"{len(found)} rows")
    return ExitCode.DONE


def _written(form: str, comparison: Comparison, rows: Sequence[Mapping[str, Any]]) -> str:
    from orchestrator.reports.junit import to_junit
    from orchestrator.reports.promptfoo import to_promptfoo
    from orchestrator.usecases.comparing.rows import to_csv

    if form == "csv":
        return to_csv(rows)
    write = to_junit if form == "junit" else to_promptfoo
    return write(comparison.as_json(), rows)


@click.command(epilog="\b\nExample:\n  ftctl comparisons\n  ftctl comparisons JOB --json")
@click.argument("job_id", metavar="[JOB]", required=False)
@json_option
@click.pass_context
def comparisons(ctx: click.Context, /, *, job_id: str | None, as_json: bool) -> int:
    """List finished comparisons, newest first."""
    app = wiring.app(ctx)
    job = app.jobs.find(job_id).id if job_id else None
    found = [
        {
            "id": each.id,
            "job_id": each.job_id,
            "created_at": each.created_at,
            "arms": [arm.name for arm in each.arms],
            "rows": each.arms[0].n,
            "metric": each.metric,
            "margin": each.plan.get("margin"),
            "verdict": each.verdict.value,
        }
        for each in app.comparisons.all(job)
    ]
    if as_json:
        print_json(found)
        return ExitCode.DONE
    if not found:
        say("no comparisons yet; ftctl compare JOB --test test.jsonl")
        return ExitCode.DONE
    columns = ("id", "job", "made", "rows", "metric", "arms", "verdict")
    print_table(columns, [_line(each) for each in found])
    return ExitCode.DONE


def _show(row: Mapping[str, Any]) -> None:
    from rich.rule import Rule
    from rich.text import Text

    where = f" · {row['slice']}" if row["slice"] else ""
    head = printable(f"row {row['row']}{where} · {row['outcome'] or 'not scored by every arm'}")
    out = console()
    out.print(Rule(Text(head), align="left", characters="-"))
    parts = [("asked", row["asked"], ""), ("wanted", row["reference"], "")]
    parts += [
        (name, "(no answer)" if one["text"] is None else one["text"], _score(one["score"]))
        for name, one in row["answers"].items()
    ]
    for name, text, score in parts:
        out.print(Text(f"{printable(name)}{score}", style="bold"))
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"
        out.print(Text(printable(shown)), soft_wrap=True)
    out.print()


def _score(score: float | None) -> str:
    return (
        "  (no score)" if score is None else f"  {score:g}" if score in {0, 1} else f"  {score:.2f}"
    )


def _line(each: Mapping[str, Any]) -> tuple[str, ...]:
    made = str(each["created_at"])[:16].replace("T", " ")
    arms = ", ".join(each["arms"])
    return (
        each["id"], each["job_id"] or "-", made, f"{each['rows']:,}", each["metric"], arms, each["verdict"],
    )  # fmt: skip
