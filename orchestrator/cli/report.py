"""`ftctl report`: the decision, with everything it rests on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from orchestrator import wiring
from orchestrator.cli.checklist import stage_option
from orchestrator.cli.output import console, json_option, print_json, say
from orchestrator.domain.checklist import Verdict
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.usecases import report as reporting
from orchestrator.usecases.answers import read_answers, template
from orchestrator.usecases.dated import default_checklist

EXAMPLE = """\b
Example:
  ftctl report JOB
  ftctl report JOB --answers answers.toml --out decision/
  ftctl report JOB --stage migrate --answers answers.toml
"""
_EXITS = {
    Verdict.GO: ExitCode.DONE,
    Verdict.GO_CONDITIONAL: ExitCode.DONE,
    Verdict.NO_GO: ExitCode.NO,
    Verdict.GATHER_EVIDENCE: ExitCode.INCONCLUSIVE,
}


@click.command(epilog=EXAMPLE)
@click.argument("job_id", metavar="JOB")
@click.option("--comparison", metavar="ID", help="Of this job; the newest when not given.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; ftctl-report-JOB by default.")
@click.option("--answers", type=click.Path(path_type=Path), help="What a person answered, as TOML.")
@click.option("--answers-template", is_flag=True, help="Print such a file to fill in, and stop.")
@stage_option
@json_option
@click.pass_context
def report(
    ctx: click.Context,
    *,
    job_id: str,
    comparison: str | None,
    out: Path | None,
    answers: Path | None,
    answers_template: bool,
    stage: str,
    as_json: bool,
) -> int:
    """Write the decision report of JOB: is fine-tuning worth it here, and what does it cost.

    Writes report.json, report.md and report.html. Exit code 0: go, also with conditions; 1: no go;
    10: evidence is missing, which is not a no.
    """
    checklist = default_checklist(stage)
    if answers_template:
        click.echo(template(checklist), nl=False)
        return ExitCode.DONE
    app = wiring.app(ctx)
    job = app.jobs.find(job_id)
    found = app.comparisons.find(comparison) if comparison else app.comparisons.latest(job.id)
    if found is not None and found.job_id != job.id:
        raise UsageError(f"Comparison {found.id} is of job {found.job_id}, not of {job.id}.")
    made = reporting.make_report(
        job,
        jobs=app.jobs,
        datasets=app.datasets,
        comparison=found,
        now=app.clock.now(),
        answers=read_answers(answers, checklist) if answers else None,
        costs=app.settings.table("costs"),
        version=_version(),
        stage=stage,
        prices=app.prices,
        lifecycle=app.lifecycle,
    )
    plain = reporting.write_report(made, out or Path(f"ftctl-report-{job.id}"), app.comparisons)
    if as_json:
        print_json(plain)
    else:
        from orchestrator.reports.terminal_report import show_report

        show_report(console(), plain)
        for path in plain["files"]:
            say(f"wrote {path}")
    return _EXITS[made.verdict]


def _version() -> str:
    try:
        return version("ftctl")
    except PackageNotFoundError:
        return "unknown"
