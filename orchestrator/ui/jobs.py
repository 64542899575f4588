"""Jobs: the list, one job whole, and what can be done to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from orchestrator.domain.deciding.evidence import loss_curves
from orchestrator.domain.deciding.report import thinned
from orchestrator.domain.errors import Conflict, FtctlError, UsageError
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.ledger import JobFilter
from orchestrator.reports.charts import loss_chart
from orchestrator.reports.words import age
from orchestrator.ui.layout import (
    SCRIPT_AT,
    button,
    chart,
    facts,
    field,
    html,
    link,
    moment,
    note,
    page,
    pager,
    redirect,
    select,
    status_of,
    table,
    url,
)
from orchestrator.ui.markup import Html, clipped, h, join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.jobs.job import Job, JobEvent
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit
    from orchestrator.ui.markup import Child

_MANY = 50
_EVENTS = 30
_MOST_EVENTS = 500
_LONGEST = 400
_VERBS = ("cancel", "pause", "resume")


def list_jobs(visit: Visit) -> WebResponse:
    """All jobs of all providers, newest first."""
    wanted = _filter(visit)
    jobs, store = visit.app.jobs, visit.app.jobs
    found = jobs.page(wanted, first=visit.first(), many=_MANY)
    part = visit.slice(_MANY, found.total)
    if part.first != visit.first():
        found = jobs.page(wanted, first=part.first, many=_MANY)
    chosen = {
        "status": str(wanted.status or ""),
        "provider": wanted.provider or "",
        "q": wanted.text,
    }
    if not found.total and not any(chosen.values()):
        return page("Jobs", _no_jobs(), here="/")
    ways = pager(part, "/", **chosen)
    return page(
        "Jobs", _search(store.providers(), chosen), _jobs(visit, found.jobs), ways, here="/"
    )


def show_job(visit: Visit) -> WebResponse:
    """One job whole."""
    job = _job(visit)
    visit.desk.errands.look(job)
    place = url(f"/jobs/{job.id}/live", status=job.status)
    # A page reloads itself where it may not run the script.
    again = h("noscript", h("meta", http_equiv="refresh", content="10"))
    head = None if job.status.is_final else (again, h("script", src=SCRIPT_AT, defer=True))
    watched = {} if job.status.is_final else {"data_live": place}
    return page(
        f"Job {job.id}",
        _actions(visit, job),
        h("div", _live(visit, job), **watched),
        _ways_on(visit, job),
        _checkpoints(visit, job),
        _history(visit, job),
        here="/",
        head=head,
    )


def live(visit: Visit) -> WebResponse:
    """The parts of a job's page that move; asking for them makes ftctl look, now and then."""
    job = _job(visit)
    visit.desk.errands.look(job)
    # What can be done has changed with the status: the page is loaded again, once.
    changed = h("p", data_changed=True) if visit.asked("status") != str(job.status) else None
    return html(join((_live(visit, job), changed)))


def act(visit: Visit) -> WebResponse:
    """Cancel, pause or resume a job, or look at it now."""
    from orchestrator.usecases.jobs import control
    from orchestrator.usecases.jobs.sync import sync_job

    job, verb = _job(visit), visit.parts["verb"]
    ledger, _lines = visit.desk.ledger()
    if verb in _VERBS:
        getattr(control, verb)(job, ledger)
    elif not job.status.is_final and not _is_being_sent(visit, job):
        # Somebody who looked at the same moment has done the work.
        with contextlib.suppress(Conflict):
            sync_job(job, visit.app.provider(job.provider), ledger)
    return redirect(f"/jobs/{job.id}")


def ask_cancel(visit: Visit) -> WebResponse:
    """Ask before a job is stopped: what it has cost is spent."""
    job = _job(visit)
    if job.status.is_final:
        raise UsageError(f"Job {job.id} has ended ({job.status}) and cannot be cancelled.")
    sent = (
        "What was trained until now may be billed." if job.status.is_remote else "Nothing was sent."
    )
    return page(
        f"Cancel job {job.id}?",
        facts(
            [("status", status_of(job.status)), ("provider", job.provider), ("model", job.model)]
        ),
        h("p", f"A cancelled job cannot be taken up again. {sent}"),
        h(
            "div",
            button("Cancel the job", f"/jobs/{job.id}/cancel", visit.mark, look="danger"),
            h("a", "Keep it", href=f"/jobs/{job.id}", class_="button"),
            class_="actions",
        ),
        here="/",
    )


def _job(visit: Visit) -> Job:
    return visit.app.jobs.find(visit.parts["job"])


def _is_being_sent(visit: Visit, job: Job) -> bool:
    return visit.desk.errands.is_busy(job) and not job.status.is_remote


def _filter(visit: Visit) -> JobFilter:
    status = visit.asked("status")
    if status and status not in set(JobStatus):
        raise UsageError(f"There is no status '{status[:40]}'.")
    return JobFilter(
        status=JobStatus(status) if status else None,
        provider=visit.asked("provider") or None,
        text=visit.asked("q")[:200],
    )


def _no_jobs() -> Html:
    return join(
        (
            h("p", "No jobs yet."),
            h(
                "p",
                "Start with a dataset: ",
                link("look at one", "/data"),
                ", then ",
                link("submit a job", "/submit"),
                ".",
            ),
        )
    )


def _search(providers: Sequence[str], chosen: dict[str, str]) -> Html:
    statuses = {"": "any status"} | {str(each): str(each).replace("_", " ") for each in JobStatus}
    profiles = {"": "any provider"} | {name: name for name in providers}
    return h(
        "form",
        field("Search", "q", type="search", value=chosen["q"], placeholder="id, model, suffix"),
        select("Status", "status", statuses, chosen["status"]),
        select("Provider", "provider", profiles, chosen["provider"]),
        h("div", h("button", "Filter", type="submit")),
        method="get",
        action="/",
        class_="filter",
        role="search",
    )


def _jobs(visit: Visit, jobs: Sequence[Job]) -> Html:
    now = visit.app.clock.now()
    return table(
        "Jobs, newest first",
        ("Job", "Status", "Provider", "Model", "Tuned model", "Age"),
        [
            (
                link(job.id, f"/jobs/{job.id}"),
                status_of(job.status),
                job.provider,
                clipped(job.model, 120),
                clipped(job.tuned_model or "", 120),
                h("time", age(now - job.created_at), datetime=job.created_at.isoformat()),
            )
            for job in jobs
        ],
        tight=(0, 1, 5),
        numbers=(5,),
    )


def _live(visit: Visit, job: Job) -> Html:
    store = visit.app.jobs
    training, validation = loss_curves(store.metrics(job.id))
    told = f"step {training[-1].step:,}, loss {training[-1].value:.4g}" if training else None
    drawn = loss_chart(
        [(p.step, p.value) for p in thinned(training)],
        [(p.step, p.value) for p in thinned(validation)],
    )
    busy = _is_being_sent(visit, job)
    return join(
        (
            h(
                "p",
                status_of(job.status),
                " ",
                h("span", told, class_="dim") if told else None,
                " · being sent" if busy else None,
                data_part="now",
                role="status",
                aria_live="polite",
            ),
            h("div", _facts(visit, job), data_part="facts"),
            h(
                "section",
                h("h2", "Training"),
                chart(drawn) if drawn else h("p", "No loss was reported yet.", class_="dim"),
                data_part="curve",
                aria_label="Training",
            ),
            h(
                "section",
                h("h2", "Events"),
                _events(visit, job),
                data_part="events",
                aria_label="Events",
            ),
        )
    )


def _facts(visit: Visit, job: Job) -> Html:
    knobs = ", ".join(f"{name}={value}" for name, value in job.hyperparameters.as_wire().items())
    error = job.error
    why = None
    if error is not None:
        why = f"{error.message} ({error.code})" if error.code else error.message
    return facts(
        [
            ("error", why),
            ("provider", job.provider),
            ("model", job.model),
            ("tuned model", job.tuned_model),
            ("answers until", _last_day(visit, job)),
            ("remote id", job.remote_id),
            ("provider's word", job.remote_status),
            ("method", str(job.method)),
            ("hyperparameters", knobs or "chosen by the provider"),
            ("seed", job.seed),
            ("estimate", None if job.estimate_usd is None else f"${job.estimate_usd:,.2f}"),
            ("trained tokens", None if job.trained_tokens is None else f"{job.trained_tokens:,}"),
            ("created", moment(job.created_at)),
            ("finished", moment(job.finished_at)),
            ("expected end", None if job.status.is_final else moment(job.estimated_finish)),
        ]
    )


def _last_day(visit: Visit, job: Job) -> str | None:
    row = visit.lifecycle.of_job(job) if job.tuned_model else None
    ends = row.ending("serving_ends") if row else None
    left = ends.days_left(visit.app.clock.now().date()) if ends else None
    if ends is None or ends.day is None or left is None:
        return None
    when = "over" if left <= 0 else f"{left} days left"
    return f"{ends.day} ({when}; {ends.said.origin}, {ends.said.read_on})"


def _actions(visit: Visit, job: Job) -> Html | None:
    if job.status is JobStatus.NEEDS_REVIEW:
        return note(
            "Only a person can say whether the provider has this job. Look at the provider's own list, then type ",
            h("code", f"ftctl resolve {job.id} --remote-id ID"),
            " or ",
            h("code", f"ftctl resolve {job.id} --absent"),
            look="bad",
        )
    if job.status.is_final:
        return None
    place = f"/jobs/{job.id}"
    may_stop = job.status.is_unsent or job.status.is_remote
    can_pause = job.status.is_remote and _can_pause(visit, job)
    return h(
        "div",
        button("Look now", f"{place}/look", visit.mark),
        button("Resume", f"{place}/resume", visit.mark)
        if can_pause and job.status is JobStatus.PAUSED
        else None,
        button("Pause", f"{place}/pause", visit.mark)
        if can_pause and job.status is not JobStatus.PAUSED
        else None,
        h("a", "Cancel…", href=f"{place}/cancel", class_="button") if may_stop else None,
        class_="actions",
    )


def _can_pause(visit: Visit, job: Job) -> bool:
    from orchestrator import wiring

    try:
        return wiring.capabilities(visit.app.settings.profile(job.provider)).pause
    except FtctlError:
        # The profile is gone or broken: the command says why, when it is typed.
        return False


def _ways_on(visit: Visit, job: Job) -> Html:
    target = visit.app.settings.profile(job.provider).kind if _is_known(visit, job) else "openai"
    # An adopted job's data may lie at the provider alone.
    data = {"training data": job.training, "validation data": job.validation}
    ways: list[Child] = [
        link(name, f"/data/{digest}", target=target) for name, digest in data.items() if digest
    ]
    if job.status.is_final:
        ways.append(link("decision report", f"/jobs/{job.id}/report"))
    ways.append(link("comparisons", "/comparisons", job=job.id))
    return h("section", h("h2", "More"), h("ul", [h("li", way) for way in ways]))


def _is_known(visit: Visit, job: Job) -> bool:
    return job.provider in visit.app.settings.profile_names()


def _checkpoints(visit: Visit, job: Job) -> Html | None:
    found = visit.app.jobs.checkpoints(job.id)
    if not found:
        return None
    rows = [
        (
            f"{each.step:,}",
            each.model,
            ", ".join(f"{n} {v:.4g}" for n, v in each.metrics.items() if n != "step"),
        )
        for each in found[:100]
    ]
    return h(
        "section",
        h("h2", "Checkpoints"),
        table("Saved during training", ("Step", "Model", "Measured"), rows),
    )


def _history(visit: Visit, job: Job) -> Html:
    rows = [
        (moment(each.at, seconds=True), status_of(each.after), clipped(each.reason, _LONGEST))
        for each in visit.app.jobs.transitions(job.id)
    ]
    moves = table("Every change of state", ("When (UTC)", "Became", "Why"), rows, tight=(0, 1))
    return h("section", h("h2", "History"), moves)


def _events(visit: Visit, job: Job) -> Html:
    whole = visit.asked("events") == "all"
    found = visit.app.jobs.events(job.id, newest=_MOST_EVENTS if whole else _EVENTS)
    if not found:
        return h("p", "None yet.", class_="dim")
    caption = f"The newest {len(found)}, newest first"
    shown = table(
        caption, ("When (UTC)", "", "What"), [_event(e) for e in reversed(found)], tight=(0, 1)
    )
    more = link("older events", f"/jobs/{job.id}", events="all")
    return join((shown, h("p", more) if len(found) == _EVENTS and not whole else None))


def _event(event: JobEvent) -> tuple[Child, ...]:
    look = {"error": "bad", "warning": "open"}.get(event.level)
    mark = h("span", event.level, class_=f"status {look}") if look else event.source
    return moment(event.at, seconds=True), mark, clipped(event.message, _LONGEST)
