"""`ftctl compare`: measure a tuned model against baselines on the same samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator import wiring
from orchestrator.cli import progress
from orchestrator.cli.compare_options import comparison_options
from orchestrator.cli.output import console, json_option, print_json, say
from orchestrator.domain.errors import ExitCode, UsageError
from orchestrator.usecases.comparing import compare as comparing
from orchestrator.usecases.comparing.evaluation import Evaluation, Ready, make_ready

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.job import Job

# Margins are typed in points and kept as proportions.
_SAME = 1e-9

EXAMPLE = """\b
Example:
  ftctl compare JOB --test test.jsonl
  ftctl compare JOB --test test.jsonl --arm base --arm few-shot:auto --arm rag:docs/ --arm tuned
  ftctl compare JOB --test test.jsonl --arm successor@openai --arm tuned --max-cost 2
  ftctl compare JOB --test test.jsonl --source recorded:old --margin 3
  ftctl compare JOB --test test.jsonl --junit junit.xml --markdown comment.md
  ftctl compare --test test.jsonl --arm recorded:old --arm model:openai/gpt-6-luna
"""


@click.command(epilog=EXAMPLE)
@click.argument("job_id", metavar="[JOB]", required=False)
@comparison_options
@json_option
@click.pass_context
def compare(ctx: click.Context, /, *, job_id: str | None, as_json: bool, **typed: object) -> int:
    """Measure the tuned model of JOB against baselines on the same samples.

    Without JOB any models are compared: each arm names its own, and the last one is the candidate
    unless --candidate says otherwise. Every answer is kept: the same command again goes on where a
    stopped one was, and pays for no answer twice. Exit code 0: improved (with --margin: not worse);
    1: degraded; 10: undecided.
    """
    app = wiring.app(ctx)
    job = app.jobs.find(job_id) if job_id else None
    junit, markdown = (typed.pop(name) for name in ("junit", "markdown"))
    wanted, shop = Evaluation(**typed), app.shop()  # type: ignore[arg-type]
    _refuse_own_rows(job, wanted)
    with shop.till(job, wanted, f"compare {wanted.test.name}") as till:
        ready = make_ready(job, wanted, shop, till, progress.answers())
        if job is not None:
            _remind(app, job, ready.plan.margin)
        _announce(ready)
        found = ready.run()
    _write(app, found, junit, markdown)  # type: ignore[arg-type]
    _print(found, as_json=as_json)
    return exit_code(found)


def _refuse_own_rows(job: Job | None, wanted: Evaluation) -> None:
    if job is not None and (wanted.training or wanted.provider):
        name = "--training" if wanted.training else "--provider"
        raise UsageError(
            f"{name} is for comparisons without a job; job {job.id} has its own.",
            hint="--arm base@PROFILE:MODEL puts another provider on one arm",
        )


def exit_code(found: Comparison) -> ExitCode:
    """0 when the gate opens, 1 when it stays shut, 10 when the rows do not decide."""
    passes = found.verdict.passes
    if passes is None:
        return ExitCode.INCONCLUSIVE
    return ExitCode.DONE if passes else ExitCode.NO


def _remind(app: wiring.App, job: Job, margin: float | None) -> None:
    """Of a job that replaces another: whether this is the comparison that was fixed for it."""
    move = app.moves.of(job.id)
    if move is None or margin is None:
        return
    fixed = f"{100 * move.parity.margin:g} points on {move.created_at:%Y-%m-%d}"
    if abs(margin - move.parity.margin) < _SAME:
        say(f"the margin is the one that was fixed before: {fixed} ({move.parity.digest[:12]})")
    else:
        say(
            f"WARNING: the margin of this move was fixed at {fixed}; this comparison uses"
            f" {100 * margin:g}, and proves less"
        )


def _announce(ready: Ready) -> None:
    chosen, plan = ready.chosen, ready.plan
    arms, rows = [arm.name for arm in ready.arms], len(chosen.samples)
    times = f" x {plan.repeats} repeats" if plan.repeats > 1 else ""
    say(f"{rows} samples x {len(arms)} arms{times}: {', '.join(arms)}")
    say(f"candidate: {', '.join(arm.name for arm in ready.arms if arm.candidate)}")
    if chosen.leaked:
        done = "kept, as asked" if chosen.leakage_allowed else "left out"
        say(f"{chosen.leaked} test rows occur in training: {done}")
    if chosen.near:
        named = ", ".join(f"{n.row} (as training row {n.training})" for n in chosen.near[:5])
        more = ", …" if len(chosen.near) > 5 else ""
        done = "left out" if chosen.near_dropped else "kept; --drop-near leaves them out"
        say(f"{len(chosen.near)} test rows nearly repeat a training row, {done}: {named}{more}")
    if chosen.repeated:
        say(f"{chosen.repeated} test rows repeat an earlier one: left out")
    found = comparing.expected_detectable(rows)
    shown = "no difference" if found is None else f"differences from {100 * found:.1f} points"
    say(f"{rows} rows find {shown} (80 % power, if the arms disagree on a fifth of the rows)")
    if plan.margin is not None:
        needed = comparing.expected_parity_rows(plan.margin)
        said = ", ".join(f"{count:,} at {share:.0%}" for share, count in needed.items())
        say(f"parity within {100 * plan.margin:g} points needs {said} of rows that differ")


def _write(app: wiring.App, found: Comparison, junit: Path | None, markdown: Path | None) -> None:
    """The files for a CI, where they were asked for."""
    from orchestrator.reports.junit import to_junit
    from orchestrator.reports.markdown import comparison_to_markdown
    from orchestrator.usecases.comparing.rows import rows_of

    plain = found.as_json()
    if junit:
        rows = rows_of(app.comparisons, found, arms=[found.decisive.candidate])
        junit.write_text(to_junit(plain, rows), encoding="utf-8")
        say(f"wrote {junit}")
    if markdown:
        markdown.write_text(comparison_to_markdown(plain), encoding="utf-8")
        say(f"wrote {markdown}")


def _print(found: Comparison, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_json())
        return
    from orchestrator.reports.terminal import show_comparison

    show_comparison(console(), found)
    about = found.job_id or f"--comparison {found.id}"
    say(f"next: ftctl rows {found.id} --lost  ·  ftctl report {about}")
