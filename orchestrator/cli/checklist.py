"""`ftctl checklist`: the questions that only a person can answer, with name and date."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli.output import json_option, print_json, print_table, say
from orchestrator.domain.deciding.checklist import STAGES, Answers, Status
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.usecases.deciding.answers import answer as answered
from orchestrator.usecases.deciding.answers import read_answers, written
from orchestrator.usecases.jobs.dated import default_checklist

if TYPE_CHECKING:
    from datetime import date

    from orchestrator.domain.deciding.checklist import Checklist

_FILE = click.Path(dir_okay=False, path_type=Path)
stage_option = click.option(
    "--stage",
    type=click.Choice(STAGES),
    default="after_run",
    show_default=True,
    help="plan: before money is spent; after_run: was it worth it; migrate: may the old go; "
    "switch: may any model replace another.",
)


@click.group(epilog="\b\nExample:\n  ftctl checklist init answers.toml\n  ftctl checklist show")
def checklist() -> None:
    """Ask and answer what only a person knows: goal, risk, volume, the cost of an error."""


@checklist.command(epilog="\b\nExample:\n  ftctl checklist show --stage migrate")
@stage_option
@json_option
def show(*, stage: str, as_json: bool) -> int:
    """List the criteria of a stage and the thresholds."""
    found = default_checklist(stage)
    if as_json:
        print_json(
            {
                "stage": stage,
                "policy": dict(found.policy),
                "criteria": [
                    {"id": c.id, "kind": c.kind.value, "by": c.by, "rule": c.rule, "ask": c.ask}
                    for c in found.criteria
                ],
                "numbers": dict(found.numbers),
            }
        )
        return ExitCode.DONE
    lines = [(c.id, c.kind.value, c.by, c.ask or c.rule) for c in found.criteria]
    print_table(("criterion", "kind", "by", "rule or question"), lines)
    click.echo("")
    print_table(("threshold", "value"), [(k, f"{v:g}") for k, v in found.policy.items()])
    return ExitCode.DONE


@checklist.command(epilog="\b\nExample:\n  ftctl checklist init answers.toml --by 'Ada Example'")
@click.argument("file", type=_FILE)
@stage_option
@click.option("--by", default="", help="Who answers.")
@click.pass_context
def init(ctx: click.Context, /, *, file: Path, stage: str, by: str) -> int:
    """Write FILE with every question, to be answered there or with `ftctl checklist answer`."""
    if file.exists():
        raise UsageError(
            f"{file} is there already, and may hold answers.", hint=f"ftctl checklist answer {file}"
        )
    today = wiring.app(ctx).clock.now().date()
    answers = Answers(name=by, date=today if by else None)
    file.write_text(written(answers, default_checklist(stage)), encoding="utf-8")
    say(f"wrote {file}; answer with: ftctl checklist answer {file}")
    return ExitCode.DONE


@checklist.command(
    epilog="\b\nExample:\n"
    "  ftctl checklist answer answers.toml uc.goal pass --note 'format' --by 'Ada Example'\n"
    "  ftctl checklist answer answers.toml requests_per_month 300000\n"
    "  ftctl checklist answer answers.toml"
)
@click.argument("file", type=_FILE)
@click.argument("name", required=False)
@click.argument("value", required=False)
@click.option("--note", default="", help="What the answer rests on.")
@click.option("--by", default="", help="Who answers; the file's own name by default.")
@stage_option
@click.pass_context
def answer(
    ctx: click.Context,
    /,
    *,
    file: Path,
    name: str | None,
    value: str | None,
    note: str,
    by: str,
    stage: str,
) -> int:
    """Answer NAME (a criterion, a number or a threshold) with VALUE; every open one without NAME.

    A criterion is pass, fail, unknown or n/a. Each answer is written with name and date.
    """
    found = default_checklist(stage)
    answers = read_answers(file, found) if file.exists() else Answers()
    today = wiring.app(ctx).clock.now().date()
    if name is not None and value is None:
        raise UsageError(
            f"'{name}' needs a value.", hint=f"ftctl checklist answer {file} {name} pass"
        )
    sheet = _Sheet(file, found, answers, today)
    if name is not None:
        sheet.take(name, value or "", note, by or answers.name)
    else:
        _ask(sheet, by)
    say(f"wrote {sheet.taken} answers to {file}")
    return ExitCode.DONE


@dataclass
class _Sheet:
    """The file as it is filled in: each answer is written before the next question."""

    file: Path
    checklist: Checklist
    answers: Answers
    today: date
    taken: int = 0

    def take(self, name: str, value: str, note: str, by: str) -> None:
        self.answers = answered(
            self.answers, self.checklist, name, value, note=note, by=by, on=self.today
        )
        self.file.write_text(written(self.answers, self.checklist), encoding="utf-8")
        self.taken += 1


def _ask(sheet: _Sheet, by: str) -> None:
    """Every question that is open, to the person at the terminal.

    What makes no sense is asked again; who stops half-way has kept what was answered.
    """
    if not sys.stdin.isatty():
        raise UsageError("There is nobody at the terminal to ask.", hint="give NAME and VALUE")
    found, answers = sheet.checklist, sheet.answers
    who = by or answers.name or str(click.prompt("Your name", err=True))
    for criterion in found.criteria:
        known = answers.given.get(criterion.id)
        if criterion.by != "human" or (known and known.status is not Status.UNKNOWN):
            continue
        click.echo(f"\n{criterion.title}: {criterion.ask}", err=True)
        # By value: click would ask for the names of the members.
        choice = click.Choice([status.value for status in Status])
        status = click.prompt(criterion.id, type=choice, default=Status.UNKNOWN.value, err=True)
        if status != Status.UNKNOWN:
            note = click.prompt("because", default="", show_default=False, err=True)
            sheet.take(criterion.id, str(status), note, who)
    for name, ask in found.numbers.items():
        if name not in answers.numbers:
            _ask_number(sheet, name, ask, who)


def _ask_number(sheet: _Sheet, name: str, ask: str, who: str) -> None:
    while said := click.prompt(f"{ask} [{name}]", default="", show_default=False, err=True):
        try:
            sheet.take(name, str(said), "", who)
        except UsageError as error:
            say(error.message)
        else:
            return
