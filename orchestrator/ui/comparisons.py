"""Comparisons: the list, and one with its rows side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.comparing.comparison import Word
from orchestrator.domain.errors import UsageError
from orchestrator.reports.charts import difference_chart
from orchestrator.reports.words import p_value, points, signed, warnings
from orchestrator.ui.layout import (
    Slice,
    chart,
    facts,
    job_link,
    link,
    note,
    page,
    pager,
    select,
    table,
    url,
)
from orchestrator.ui.markup import Html, clipped, h

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from orchestrator.domain.comparing.comparison import Comparison, Difference
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit
    from orchestrator.ui.markup import Child

_MANY, _ROWS = 25, 10
_LONGEST = 1_200
_LOOKS = {Word.IMPROVED: "good", Word.PARITY: "good", Word.DEGRADED: "bad"}
_OUTCOMES = {"": "every row", "lost": "rows lost", "won": "rows won", "same": "rows scored alike"}


def list_comparisons(visit: Visit) -> WebResponse:
    """Finished comparisons, newest first."""
    job = visit.asked("job")
    of_job = visit.app.jobs.find(job).id if job else None
    found, total = visit.app.comparisons.page(first=visit.first(), many=_MANY, job_id=of_job)
    part = Slice(first=visit.first(), many=_MANY, total=total)
    if not total:
        typed = f"ftctl compare {of_job or 'JOB'} --test test.jsonl"
        return page(
            "Comparisons", h("p", "None is finished yet: ", h("code", typed)), here="/comparisons"
        )
    rows = [
        (
            link(each.id, f"/comparisons/{each.id}"),
            _word(each.verdict),
            job_link(each.job_id),
            each.created_at[:16].replace("T", " "),
            f"{each.arms[0].n:,}",
            each.metric,
            clipped(", ".join(arm.name for arm in each.arms), 200),
        )
        for each in found
    ]
    head = ("Comparison", "Verdict", "Job", "Made (UTC)", "Rows", "Metric", "Arms")
    shown = table(
        "Finished comparisons, newest first", head, rows, numbers=(4,), tight=(0, 1, 2, 3)
    )
    return page("Comparisons", shown, pager(part, "/comparisons", job=of_job), here="/comparisons")


def show_comparison(visit: Visit) -> WebResponse:
    """One comparison: arms, differences, and rows to read."""
    found = visit.app.comparisons.find(visit.parts["comparison"])
    plain = found.as_json()
    drawn = difference_chart(plain)
    return page(
        f"Comparison {found.id}",
        h("p", _word(found.verdict), " ", found.reason),
        facts(
            [
                ("job", job_link(found.job_id)),
                ("metric", found.metric),
                ("spent", None if found.spent is None else f"${found.spent:,.4f}"),
            ]
        ),
        [note(each) for each in warnings(plain["arms"])],
        _arms(found),
        h(
            "section",
            h("h2", "Difference in quality"),
            chart(drawn),
            _differences(found),
        ),
        _rows(visit, found),
        here="/comparisons",
    )


def _word(word: Word) -> Html:
    return h("span", word.value, class_=f"status {_LOOKS.get(word, 'open')}")


def _arms(found: Comparison) -> Html:
    rows = [
        (
            f"{arm.name} *" if arm.name == found.best_baseline else arm.name,
            clipped(arm.model, 120),
            points(arm.metrics[found.metric]),
            "–".join(points(end) for end in arm.intervals[found.metric]),
            f"{arm.n:,}",
            f"{1000 * arm.latency_p50:,.0f}",
        )
        for arm in found.arms
    ]
    head = ("Arm", "Model", found.metric, "95 % interval", "n", "ms (median)")
    shown = table("The arms; * is the best baseline", head, rows, numbers=range(2, 6))
    return h("section", h("h2", "Arms"), shown)


def _differences(found: Comparison) -> Html:
    rows = [_difference(each) for each in (*found.differences, *found.slices)]
    head = ("Difference", "Points", "95 % interval", "Won/lost", "p (Holm)", "Verdict")
    return table("Candidate less baseline, on the same rows", head, rows, numbers=range(1, 5))


def _difference(each: Difference) -> tuple[Child, ...]:
    name = f"{each.candidate} − {each.baseline}"
    return (
        f"{name}, {each.slice}" if each.slice else name,
        signed(each.diff),
        f"[{signed(each.low)}, {signed(each.high)}]",
        f"{each.won}/{each.lost}",
        p_value(each.p_holm),
        _word(each.verdict),
    )


def _rows(visit: Visit, found: Comparison) -> Html:
    from orchestrator.usecases.comparing.rows import OUTCOMES, rows_of

    outcome, part, against = visit.asked("outcome"), visit.asked("slice"), visit.asked("against")
    if outcome and outcome not in OUTCOMES:
        raise UsageError(f"There is no outcome '{outcome[:40]}'.")
    place, first = f"/comparisons/{found.id}", visit.first()
    chosen = {"outcome": outcome, "slice": part, "against": against}
    # One row more than is shown tells whether there are more.
    rows = rows_of(
        visit.app.comparisons,
        found,
        outcome=outcome or None,
        against=against or None,
        part=part or None,
        limit=_ROWS + 1,
        skip=first,
    )
    before = (
        link("← Previous", place, **chosen, from_=max(0, first - _ROWS) or "") if first else None
    )
    after = link("Next →", place, **chosen, from_=first + _ROWS) if len(rows) > _ROWS else None
    shown = rows[:_ROWS]
    count = f"{first + 1:,}–{first + len(shown):,}" if shown else "no such row"
    ways = h(
        "nav", before, h("span", count, class_="dim"), after, class_="pager", aria_label="Rows"
    )
    return h(
        "section",
        h("h2", "Rows side by side", id="rows"),
        _chooser(found, chosen),
        ways,
        [_row(each) for each in shown],
        ways if len(shown) > 3 else None,
    )


def _chooser(found: Comparison, chosen: Mapping[str, str]) -> Html:
    slices = {"": "every slice"} | {d.slice: d.slice for d in found.slices if d.slice}
    baselines = {d.baseline: d.baseline for d in found.differences}
    return h(
        "form",
        select("Rows", "outcome", _OUTCOMES, chosen["outcome"]),
        select("Slice", "slice", slices, chosen["slice"]),
        select("Against", "against", baselines, chosen["against"] or found.decisive.baseline),
        h("div", h("button", "Show", type="submit")),
        method="get",
        action=url(f"/comparisons/{found.id}"),
        class_="filter",
    )


def _row(row: Mapping[str, Any]) -> Html:
    where = f", {row['slice']}" if row["slice"] else ""
    look = {"won": "good", "lost": "bad"}.get(row["outcome"] or "", "")
    sides = [("asked", row["asked"], None), ("wanted", row["reference"], None)]
    sides += [(name, one["text"], one["score"]) for name, one in row["answers"].items()]
    return h(
        "article",
        h(
            "h3",
            f"Row {row['row']}{where} ",
            h("span", row["outcome"] or "not scored by every arm", class_=f"status {look}".strip()),
        ),
        h("div", [_side(*side) for side in sides], class_="sides"),
        class_="card",
    )


def _side(name: str, text: str | None, score: float | None) -> Html:
    told = "" if score is None else f" · {score:g}" if score in {0, 1} else f" · {score:.2f}"
    said = "(no answer)" if text is None else clipped(text, _LONGEST)
    look = " learned" if score == 1 else ""
    return h("div", h("p", f"{name}{told}", class_="who"), h("pre", said, class_=f"said{look}"))
