"""Which charts a report has, from its JSON; a chart without numbers is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.reports import svg
from orchestrator.reports.words import INPUTS, dollars, points, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    _Charts = Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]]

_KINDS = {"Improved": "good", "Parity": "good", "Degraded": "bad"}
_MOST_SLICES = 15


def quality_charts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Heading and SVG of what the comparison shows."""
    return _drawn(report, _QUALITY)


def other_charts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Heading and SVG of what training, money and time show."""
    return _drawn(report, _OTHERS)


def difference_chart(comparison: Mapping[str, Any]) -> str:
    """The differences of a comparison with their intervals, slices after them, as SVG."""
    found = [*comparison["differences"], *comparison["slices"][:_MOST_SLICES]]
    dots = [_dot(d) for d in found]
    margin = comparison["plan"].get("margin")
    return svg.intervals(
        "Paired differences with 95 % intervals",
        dots,
        margin=100 * margin if margin else None,
        unit="points of difference; the line at 0 is no difference",
    )


def loss_chart(
    training: Sequence[Sequence[float]],
    validation: Sequence[Sequence[float]],
    chosen_step: int | None = None,
) -> str:
    """Both losses by step, as SVG; empty without a point.

    Args:
        training: step and loss of each point; `validation` likewise.
        chosen_step: whose weights were measured.
    """
    curves = [
        svg.Line(name, [(float(x), float(y)) for x, y in points], kind)
        for name, points, kind in (
            ("training loss", training, "first"),
            ("validation loss", validation, "second"),
        )
        if points
    ]
    if not curves:
        return ""
    walls = (
        []
        if chosen_step is None
        else [svg.Wall(float(chosen_step), f"measured: step {chosen_step}", top=True)]
    )
    return svg.lines("Loss by step", curves, "step", "loss", zero=False, walls=walls)


def _drawn(report: Mapping[str, Any], charts: _Charts) -> list[tuple[str, str]]:
    drawn = [(heading, draw(report)) for heading, draw in charts]
    return [(heading, chart) for heading, chart in drawn if chart]


def _differences(report: Mapping[str, Any]) -> str:
    return difference_chart(report["comparison"]) if report["comparison"] else ""


def _dot(found: Mapping[str, Any]) -> svg.Dot:
    name = found["slice"] or f"{found['candidate']} - {found['baseline']}"
    return svg.Dot(
        name=f"  {name}" if found["slice"] else name,
        value=100 * found["diff"],
        low=100 * found["low"],
        high=100 * found["high"],
        note=f"{signed(found['diff'])}  ({found['won']} won, {found['lost']} lost)",
        kind=_KINDS.get(found["verdict"], "plain"),
    )


def _loss(report: Mapping[str, Any]) -> str:
    return loss_chart(report["training"], report["validation"], report["chosen_step"])


def _frontier(report: Mapping[str, Any]) -> str:
    comparison = report["comparison"]
    if not comparison:
        return ""
    prices = {arm["name"]: arm["usd_per_1000"] for arm in report["costs"]["arms"]}
    arms = [a for a in comparison["arms"] if prices.get(a["name"]) is not None]
    metric, billed = comparison["metric"], any(prices[a["name"]] for a in arms)
    if not arms or not billed:
        # On a machine of one's own no request has a price; its time is what differs.
        return _against_time(comparison)
    marks = [_mark(a, metric, prices[a["name"]]) for a in arms]
    title = "Quality against the cost of 1,000 requests"
    return svg.frontier(title, marks, "$ for 1,000 requests, hosting not counted", metric)


def _against_time(comparison: Mapping[str, Any]) -> str:
    metric = comparison["metric"]
    marks = [_mark(a, metric, 1000 * a["latency_p50"]) for a in comparison["arms"]]
    return svg.frontier(
        "Quality against the time of an answer", marks, "ms for an answer (median)", metric
    )


def _mark(arm: Mapping[str, Any], metric: str, x: float) -> svg.Mark:
    low, high = arm["intervals"][metric]
    return svg.Mark(
        name=f"{arm['name']} {points(arm['metrics'][metric])}",
        x=x,
        y=100 * arm["metrics"][metric],
        low=100 * low,
        high=100 * high,
        kind="good" if arm["candidate"] else "first",
    )


def _cumulative(report: Mapping[str, Any]) -> str:
    costs = report["costs"]
    totals, business = costs["cumulative"], costs["business"]
    if not totals or business is None or len(totals["candidate"]) < 2:
        return ""
    months = [float(month) for month in range(len(totals["candidate"]))]
    drawn = [
        svg.Line("best baseline", list(zip(months, totals["baseline"], strict=True)), "first"),
        svg.Line("tuned model", list(zip(months, totals["candidate"], strict=True)), "good"),
    ]
    ends = zip(months, totals["baseline_low"], totals["baseline_high"], strict=True)
    walls = []
    payback = business["payback"]
    if payback is not None and payback <= months[-1]:
        walls.append(svg.Wall(payback, f"break-even: {payback:.1f} months"))
    if costs["retires"]:
        walls.append(svg.Wall(months[-1], f"retires {costs['retires']}", "retired"))
    return svg.lines(
        "Money paid in all, what wrong answers cost more included",
        drawn,
        "months; the band is the interval of the quality difference",
        "$",
        zero=True,
        walls=walls,
        bands=[svg.Band(list(ends), "first")],
    )


def _tornado(report: Mapping[str, Any]) -> str:
    swings, business = report["costs"]["tornado"], report["costs"]["business"]
    if not swings or business is None:
        return ""
    bars = [
        svg.Dot(
            name=INPUTS.get(s["name"], s["name"]),
            value=business["npv"],
            low=s["npv_low"],
            high=s["npv_high"],
            note=f"{_plain(float(s['low']))} to {_plain(float(s['high']))}",
        )
        for s in swings
    ]
    title = f"What moves the net present value of {dollars(business['npv'])}"
    return svg.tornado(title, bars, business["npv"])


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _latency(report: Mapping[str, Any]) -> str:
    comparison = report["comparison"]
    if not comparison or not any(comparison["latencies"].values()):
        return ""
    kinds = iter(("first", "second", "third"))
    drawn = []
    for arm in _fewest(comparison):
        times = comparison["latencies"].get(arm["name"], [])
        shares = [(1000 * t, 100 * (i + 1) / len(times)) for i, t in enumerate(times)]
        if shares:
            kind = "good" if arm["candidate"] else next(kinds)
            drawn.append(svg.Line(arm["name"], shares, kind))
    promised = report["numbers"].get("latency_slo_ms")
    walls = [] if promised is None else [svg.Wall(promised, f"promised: {promised:,.0f} ms")]
    return svg.lines("Share of answers by time", drawn, "ms", "% answered", zero=True, walls=walls)


def _fewest(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The arms that a reader compares: the candidate, its best baseline, and two more."""
    arms = [a for a in comparison["arms"] if not a.get("again")]
    rank = {comparison["best_baseline"]: 1, comparison.get("source"): 2}
    ordered = sorted(arms, key=lambda a: 0 if a["candidate"] else rank.get(a["name"], 3))
    chosen = {a["name"] for a in ordered[:1] + [a for a in ordered[1:] if not a["candidate"]][:3]}
    return [a for a in arms if a["name"] in chosen]


_QUALITY: _Charts = (
    ("Difference in quality", _differences),
    ("Quality against price, or time", _frontier),
)
_OTHERS: _Charts = (
    ("Cumulative cost", _cumulative),
    ("What moves the value", _tornado),
    ("Training", _loss),
    ("Time of an answer", _latency),
)
