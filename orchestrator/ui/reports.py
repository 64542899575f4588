"""Decision reports: those that were written, and one of a job as of now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.reports.words import VERDICTS
from orchestrator.ui.layout import Slice, html, job_link, link, moment, page, pager, table
from orchestrator.ui.markup import Html, h

if TYPE_CHECKING:
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit

_MANY = 25
_LOOKS = {"GO": "good", "NO_GO": "bad"}


def list_reports(visit: Visit) -> WebResponse:
    """Reports as they were written, newest first."""
    found, total = visit.app.comparisons.reports(first=visit.first(), many=_MANY)
    part = Slice(first=visit.first(), many=_MANY, total=total)
    if not total:
        return page(
            "Reports",
            h("p", "None was written yet: ", h("code", "ftctl report JOB")),
            here="/reports",
        )
    rows = [
        (
            link(f"report of {each.created_at:%Y-%m-%d %H:%M}", f"/reports/{each.id}"),
            h(
                "span",
                VERDICTS[each.verdict][0],
                class_=f"status {_LOOKS.get(each.verdict, 'open')}",
            ),
            job_link(each.job_id),
            moment(each.created_at),
        )
        for each in found
    ]
    head = ("Report", "Verdict", "Job", "Written (UTC)")
    return page(
        "Reports",
        table("Reports, newest first", head, rows),
        pager(part, "/reports"),
        here="/reports",
    )


def show_report(visit: Visit) -> WebResponse:
    """A report, the page that was written then."""
    return _whole(dict(visit.app.comparisons.report(visit.parts["report"])))


def report_now(visit: Visit) -> WebResponse:
    """The report of a job from what is known now; it is shown, and not kept."""
    from orchestrator.usecases.deciding.report import make_report

    app = visit.app
    job = app.jobs.find(visit.parts["job"])
    made = make_report(
        job,
        jobs=app.jobs,
        datasets=app.datasets,
        comparison=app.comparisons.latest(job.id),
        now=app.clock.now(),
        costs=app.settings.table("costs"),
        prices=app.prices,
        lifecycle=visit.lifecycle,
        deployments=app.deployments.all(job_id=job.id),
    )
    return _whole(made.as_json())


def _whole(report: dict[str, object]) -> WebResponse:
    from orchestrator.reports.html import POLICY, to_html

    # The report is a page of its own: its style is named by its hash, and it has no script.
    return html(Html(to_html(report)), policy=f"{POLICY}; frame-ancestors 'none'")
