"""`ftctl report`: the decision, with everything it rests on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli.checklist import stage_option
from orchestrator.cli.output import console, json_option, print_json, say
from orchestrator.domain.deciding.checklist import Verdict
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.reports.markdown import to_markdown
from orchestrator.usecases.deciding import report as reporting
from orchestrator.usecases.deciding.answers import read_answers, template
from orchestrator.usecases.jobs.dated import default_checklist

if TYPE_CHECKING:
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Job

EXAMPLE = """\b
Example:
  ftctl report JOB
  ftctl report JOB --answers answers.toml --out decision/
  ftctl report JOB --stage migrate --answers answers.toml
  ftctl report --comparison ID
  ftctl report JOB --markdown > comment.md
"""
_EXITS = {
    Verdict.GO: ExitCode.DONE,
    Verdict.GO_CONDITIONAL: ExitCode.DONE,
    Verdict.NO_GO: ExitCode.NO,
    Verdict.GATHER_EVIDENCE: ExitCode.INCONCLUSIVE,
}


@click.command(epilog=EXAMPLE)
@click.argument("job_id", metavar="[JOB]", required=False)
@click.option("--comparison", metavar="ID", help="Which one; the newest of JOB when not given.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; ftctl-report-ID by default.")
@click.option("--answers", type=click.Path(path_type=Path), help="What a person answered, as TOML.")
@click.option("--answers-template", is_flag=True, help="Print such a file to fill in, and stop.")
@click.option("--markdown", is_flag=True, help="Print the Markdown, for a pull request.")
@stage_option
@json_option
@click.pass_context
def report(
    ctx: click.Context,
    *,
    job_id: str | None,
    comparison: str | None,
    out: Path | None,
    answers: Path | None,
    answers_template: bool,
    markdown: bool,
    stage: str,
    as_json: bool,
) -> int:
    """Write the decision report of JOB: is fine-tuning worth it here, and what does it cost.

    Without JOB it is about a comparison: should its candidate take the place of the baseline. Writes
    report.json, report.md and report.html. Exit code 0: go, also with conditions; 1: no go;
    10: evidence is missing, which is not a no.
    """
    if answers_template:
        click.echo(template(default_checklist(stage)), nl=False)
        return ExitCode.DONE
    app = wiring.app(ctx)
    job, found = _about(app, job_id, comparison)
    if job is None:
        stage = "switch"
    checklist = default_checklist(stage)
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
        deployments=app.deployments.all(job_id=job.id) if job else (),
    )
    plain = reporting.write_report(
        made, out or Path(f"ftctl-report-{_named(job, found)}"), app.comparisons
    )
    if as_json:
        print_json(plain)
    elif markdown:
        click.echo(to_markdown(plain), nl=False)
    else:
        from orchestrator.reports.terminal_report import show_report

        show_report(console(), plain)
        for path in plain["files"]:
            say(f"wrote {path}")
    return _EXITS[made.verdict]


def _about(
    app: wiring.App, job_id: str | None, comparison: str | None
) -> tuple[Job | None, Comparison | None]:
    """The job that is reported on, and its comparison; only one of them may be missing."""
    if job_id is None and comparison is None:
        raise UsageError(
            "A report is about a job, or about a comparison.",
            hint="ftctl report JOB, or ftctl report --comparison ID (ftctl comparisons lists them)",
        )
    found = app.comparisons.find(comparison) if comparison else None
    of_job = job_id or (found.job_id if found else None)
    job = app.jobs.find(of_job) if of_job else None
    if job is None:
        return None, found
    found = found or app.comparisons.latest(job.id)
    if found is not None and found.job_id != job.id:
        whose = f"of job {found.job_id}" if found.job_id else "of no job"
        raise UsageError(f"Comparison {found.id} is {whose}, not of {job.id}.")
    return job, found


def _named(job: Job | None, found: Comparison | None) -> str:
    return job.id if job else found.id if found else ""


def _version() -> str:
    try:
        return version("ftctl")
    except PackageNotFoundError:
        return "unknown"
