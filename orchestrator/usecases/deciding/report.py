"""Write the decision report of a job: gather what is known, build, render, keep."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.domain.canonical import digest
from orchestrator.domain.deciding.checklist import Answers
from orchestrator.domain.deciding.evidence import DatasetFacts
from orchestrator.domain.deciding.report import Inputs, Report, build
from orchestrator.domain.errors import DatasetInvalid
from orchestrator.domain.money.bill import Serving
from orchestrator.grading.labels import labels_of
from orchestrator.grading.text import normalise
from orchestrator.reports.html import to_html
from orchestrator.reports.json import to_json
from orchestrator.reports.markdown import to_markdown
from orchestrator.usecases.comparing.samples import read_samples, said
from orchestrator.usecases.deciding.answers import read_numbers
from orchestrator.usecases.jobs.dated import (
    default_checklist,
    newest_lifecycle,
    newest_prices,
    newest_tiers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from orchestrator.domain.comparing.answerbook import Comparisons
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.jobs.deployment import Deployment
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Lifecycle
    from orchestrator.domain.ledger import DatasetStore, JobStore
    from orchestrator.domain.money.prices import PriceBook

FORMATS = ("json", "md", "html")


def make_report(
    job: Job | None,
    *,
    jobs: JobStore,
    datasets: DatasetStore,
    comparison: Comparison | None,
    now: datetime,
    answers: Answers | None = None,
    costs: Mapping[str, Any] | None = None,
    version: str = "",
    stage: str = "after_run",
    prices: PriceBook | None = None,
    lifecycle: Lifecycle | None = None,
    deployments: Sequence[Deployment] = (),
) -> Report:
    """The report of a job, or of a comparison without one, from everything that is known now.

    Args:
        job: whose report; None for one about a comparison without a job.
        jobs: the ledger, for the numbers of training.
        datasets: the dataset store, for the training split.
        comparison: the measured arms; None says so in the report.
        now: when it is made.
        answers: what a person answered.
        costs: numbers from ftctl.toml, which the person's own override.
        version: of ftctl.
        stage: plan, after_run, migrate or switch.
        prices: what things cost; the newest file when None.
        lifecycle: until when models answer; the newest file when None.
        deployments: of the job's model, newest first: what it costs by the hour.
    """
    checklist = default_checklist(stage)
    given = answers or Answers()
    numbers = {**read_numbers(costs or {}, checklist), **given.numbers}
    return build(
        Inputs(
            job=job,
            points=jobs.metrics(job.id) if job else (),
            checkpoints=jobs.checkpoints(job.id) if job else (),
            data=_facts(job, datasets) if job else None,
            comparison=comparison,
            answers=replace(given, numbers=numbers),
            checklist=checklist,
            prices=prices or newest_prices(),
            lifecycle=lifecycle or newest_lifecycle(),
            now=now,
            version=version,
            serving=_serving(job, deployments) if job else None,
        )
    )


def _serving(job: Job, deployments: Sequence[Deployment]) -> Serving | None:
    """The deployment that stands, or is on its way; else the last one that ever stood."""
    stood = [each for each in deployments if each.state.is_open or each.started_at]
    found = next((each for each in stood if each.state.is_open), None) or next(iter(stood), None)
    if found is None:
        return None
    sku, tier = newest_tiers(job.kind).named(found.sku)
    ends = tier.ends_after if tier else None
    return Serving(
        found.name, sku, tier.tier if tier else None, ends / timedelta(hours=1) if ends else None
    )


def write_report(report: Report, folder: Path, store: Comparisons) -> dict[str, Any]:
    """Write report.json, report.md and report.html, and keep the report in the store.

    Returns:
        What the JSON file holds, `files` included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {kind: folder / f"report.{kind}" for kind in FORMATS}
    plain = report.as_json([str(path) for path in files.values()])
    files["json"].write_text(to_json(plain), encoding="utf-8")
    files["md"].write_text(to_markdown(plain), encoding="utf-8")
    files["html"].write_text(to_html(plain), encoding="utf-8")
    comparison = report.comparison.id if report.comparison else None
    store.keep_report(plain, comparison, report.created_at)
    return plain


def dataset_facts(path: Path, *, sha256: str, tokens: int | None) -> DatasetFacts:
    """Count the training split: repeated rows, conflicting answers, rows of each label."""
    examples = read_samples(path)
    rows = Counter(digest([list(e.messages), e.reference]) for e in examples)
    answers: dict[str, set[str]] = defaultdict(set)
    for example in examples:
        answers[said(example)].add(normalise(example.reference))
    references = [example.reference for example in examples]
    labels = Counter(map(normalise, references)) if labels_of(references) else {}
    return DatasetFacts(
        digest=sha256,
        rows=len(examples),
        unique=len(rows),
        conflicting=sum(len(answers[said(example)]) > 1 for example in examples),
        labels=dict(sorted(labels.items())),
        tokens=tokens,
    )


def _facts(job: Job, datasets: DatasetStore) -> DatasetFacts | None:
    if job.training is None:
        return None
    path = datasets.path(job.data)
    if not path.is_file():
        return None
    tokens = datasets.get(job.data).tokens
    try:
        return dataset_facts(path, sha256=job.data, tokens=tokens)
    except DatasetInvalid:
        # Rows of another method than supervised: what cannot be counted stays unknown.
        return None
