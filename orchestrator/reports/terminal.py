"""For people at a terminal: comparisons and reports as text, coloured where there is colour."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from orchestrator.domain.comparison import Word
from orchestrator.reports.words import (
    GROUPS,
    VERDICTS,
    business_lines,
    dollars,
    p_value,
    points,
    signed,
    warnings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from orchestrator.domain.comparison import Comparison, Difference

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_STYLES = {
    Word.IMPROVED: "green",
    Word.PARITY: "green",
    Word.DEGRADED: "red",
    Word.INCONCLUSIVE: "yellow",
    Word.TOO_FEW: "yellow",
}
_VERDICT_STYLES = {
    "GO": "green",
    "GO_CONDITIONAL": "yellow",
    "NO_GO": "red",
    "GATHER_EVIDENCE": "yellow",
}
_STATUS_STYLES = {"pass": "green", "fail": "red", "unknown": "yellow", "n/a": "dim"}
_ROWS_SHOWN = 3


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print arms, differences, slices and the verdict."""
    plan = comparison.plan
    rows = comparison.arms[0].n
    console.print(
        Text.assemble(
            ("compare ", "bold"),
            f"{comparison.id}  job {comparison.job_id}  eval {comparison.test[:6]} "
            f"({rows} rows{_left_out(comparison)})  {comparison.created_at[:10]}",
        )
    )
    margin = plan.get("margin")
    found = comparison.detectable
    console.print(
        Text(
            f"metric {comparison.metric}  alpha {plan['alpha']} Holm/{len(comparison.differences)}"
            + (f"  margin {100 * float(margin):.1f} pts (fixed before)" if margin else "")
            + "  temp 0"
            + (f"  detectable {100 * found:.1f} pts at 80 % power" if found else ""),
            style="dim",
        )
    )
    console.print()
    console.print(_arms(comparison))
    for warning in warnings(asdict(arm) for arm in comparison.arms):
        console.print(Text(plain(f"! {warning}"), style="yellow"))
    console.print()
    console.print(_differences("PAIRED", comparison.differences))
    if comparison.slices:
        console.print()
        console.print(_differences("SLICE", comparison.slices))
    _show_parity(console, comparison)
    _show_rows(console, comparison)
    console.print()
    console.print(
        Text.assemble(
            ("VERDICT  ", "bold"),
            (comparison.verdict.value, f"bold {_STYLES[comparison.verdict]}"),
            f"  {plain(comparison.reason)}",
        )
    )


def plain(text: str) -> str:
    """The text on one line, with control characters shown instead of obeyed."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def _left_out(comparison: Comparison) -> str:
    leak = f", leak {comparison.leaked} {'kept' if comparison.leakage_allowed else 'left out'}"
    repeated = f", {comparison.repeated} repeated left out" if comparison.repeated else ""
    missing = max(arm.missing for arm in comparison.arms)
    return (leak if comparison.leaked else ", leak 0") + repeated + f", missing {missing}"


def _arms(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ARM", "MODEL"):
        table.add_column(name, overflow="fold")
    metrics = list(comparison.arms[0].metrics)
    columns = (comparison.metric, "95% CI", *metrics[1:], "prompt", "out", "p50/p95 ms", "missing")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for arm in comparison.arms:
        best = " *" if arm.name == comparison.best_baseline else ""
        low, high = arm.intervals[comparison.metric]
        cells = (
            f"{arm.name}{best}",
            arm.model,
            points(arm.metrics[comparison.metric]),
            f"{points(low)}-{points(high)}",
            *(points(arm.metrics[name]) for name in metrics[1:]),
            f"{arm.prompt_tokens:,.0f}",
            f"{arm.completion_tokens:,.0f}",
            f"{1000 * arm.latency_p50:,.0f}/{1000 * arm.latency_p95:,.0f}",
            str(arm.missing),
        )
        style = "bold" if arm.candidate else ""
        table.add_row(*(Text(plain(cell)) for cell in cells), style=style)
    table.caption = "* best baseline"
    table.caption_justify = "left"
    return table


def _differences(title: str, differences: Sequence[Difference]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    sliced = title == "SLICE"
    table.add_column(title, overflow="fold")
    for name in ("n", "diff", "95% CI", "won/lost", "p Holm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for found in differences:
        cells = (
            (found.slice or "") if sliced else f"{found.candidate} - {found.baseline}",
            str(found.n),
            signed(found.diff),
            f"[{signed(found.low)}, {signed(found.high)}]",
            f"{found.won}/{found.lost}",
            p_value(found.p_holm),
        )
        word = Text(strength(found), style=_STYLES[found.verdict])
        table.add_row(*(Text(plain(cell)) for cell in cells), word)
    return table


def _show_parity(console: Console, comparison: Comparison) -> None:
    found = comparison.decisive
    if found.parity is None:
        return
    test = found.parity
    word = "shown" if test.low > -test.margin else "not shown"
    console.print()
    console.print(
        Text(
            f"PARITY {found.candidate} vs {found.baseline} "
            f"(non-inferiority, margin {100 * test.margin:.1f} pts): diff {signed(found.diff)}  "
            f"90% CI [{signed(test.low)}, {signed(test.high)}]  p {p_value(test.p)}  {word}"
        )
    )


def _show_rows(console: Console, comparison: Comparison) -> None:
    lost = [row for row in comparison.examples if not row.won][:_ROWS_SHOWN]
    if not lost:
        return
    console.print()
    console.print(Text(f"LOST to {comparison.best_baseline} (first {len(lost)})", style="bold"))
    for row in lost:
        text = f"  row {row.row}: {short(row.asked)} -> {short(row.candidate)}"
        console.print(Text(f"{text}, wanted {short(row.reference)}"))


def short(text: str, width: int = 60) -> str:
    """One quoted line of at most `width` characters."""
    line = plain(" ".join(text.split()))
    return f'"{line}"' if len(line) <= width else f'"{line[: width - 1]}…"'


def strength(found: Difference) -> str:
    """The word, and whether the evidence is strong (p at most .001)."""
    strong = found.verdict in {Word.IMPROVED, Word.DEGRADED} and found.p_holm <= 0.001
    return f"{found.verdict}{' (strong)' if strong else ''}"


def show_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print the decision, the checklist with its evidence, the money, and what to do next."""
    word, meaning = VERDICTS[report["verdict"]]
    style = _VERDICT_STYLES[report["verdict"]]
    console.print(
        Text.assemble(
            ("DECISION  ", "bold"),
            plain(f"{report['job']['id']}  {report['job']['model']}  ->  "),
            (word.upper(), f"bold {style}"),
        )
    )
    console.print(Text(meaning, style="dim"))
    if report["because"]:
        console.print(Text("Because: " + ", ".join(report["because"])))
    for group in GROUPS:
        rows = [c for c in report["criteria"] if c["group"] == group]
        if rows:
            console.print()
            console.print(Text(group.upper(), style="bold"))
            console.print(_criteria(rows))
    _show_money(console, report["costs"])
    if report["actions"]:
        console.print()
        console.print(Text("WHAT TO DO NEXT", style="bold"))
        for action in report["actions"]:
            console.print(Text(plain(f"  {', '.join(action['ids'])}: {action['text']}")))


def _criteria(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("status", "title", "evidence", "source"):
        table.add_column(column, overflow="fold", no_wrap=column == "status")
    for c in rows:
        style = _STATUS_STYLES[c["status"]]
        source = c["source"] or c["by"]
        table.add_row(
            Text(f"  [{c['status']}]", style=style),
            Text(plain(c["title"])),
            Text(plain(c["evidence"] or f"({c['rule']})"), style="" if c["evidence"] else "dim"),
            Text(plain(source), style="magenta" if c["by"] == "human" else "dim"),
        )
    return table


def _show_money(console: Console, costs: Mapping[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    lines = [
        ("training", costs["training"]["usd"], costs["training"]["note"]),
        ("evaluation", costs["evaluation"]["usd"], costs["evaluation"]["note"]),
        ("hosting a month", costs["hosting_month"]["usd"], costs["hosting_month"]["note"]),
        *(
            (f"1,000 requests to {arm['name']}", arm["usd_per_1000"], arm["note"])
            for arm in costs["arms"]
        ),
    ]
    for name, usd, note in lines:
        shown = dollars(usd)
        table.add_row(Text(plain(f"  {name}")), Text(shown), Text(plain(note), style="dim"))
    for name, shown in business_lines(costs):
        table.add_row(Text(f"  {name}"), Text(shown), Text(""))
    console.print()
    console.print(Text("MONEY", style="bold"))
    console.print(table)
    old = sum(price["older_than_60_days"] for price in costs["prices"])
    if old:
        console.print(Text(f"  {old} prices were read more than 60 days ago", style="yellow"))
