"""For people at a terminal: a comparison as text, coloured where there is colour."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from orchestrator.domain.comparing.comparison import Word
from orchestrator.reports.words import (
    dollars,
    notes,
    p_value,
    points,
    signed,
    warnings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from orchestrator.domain.comparing.comparison import ArmResult, Comparison, Difference

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_STYLES = {
    Word.IMPROVED: "green",
    Word.PARITY: "green",
    Word.DEGRADED: "red",
    Word.INCONCLUSIVE: "yellow",
    Word.TOO_FEW: "yellow",
}
_ROWS_SHOWN = 3


def _job(comparison: Comparison) -> str:
    return f"job {comparison.job_id}  " if comparison.job_id else ""


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print arms, differences, slices and the verdict."""
    plan = comparison.plan
    rows = comparison.arms[0].n
    console.print(
        Text.assemble(
            ("compare ", "bold"),
            f"{comparison.id}  {_job(comparison)}eval {comparison.test[:6]} "
            f"({rows} rows{_left_out(comparison)})  {comparison.created_at[:10]}",
        )
    )
    margin = plan.get("margin")
    found = comparison.detectable
    console.print(
        Text(
            f"metric {comparison.metric}  alpha {plan['alpha']} Holm/{len(comparison.differences)}"
            + (f"  margin {100 * float(margin):.1f} pts (fixed before)" if margin else "")
            + f"  temp {plan.get('temperature', 0):g}"
            + (f"  repeats {plan['repeats']}" if plan.get("repeats", 1) > 1 else "")
            + (f"  detectable {100 * found:.1f} pts at 80 % power" if found else ""),
            style="dim",
        )
    )
    console.print()
    console.print(_arms(comparison))
    for warning in warnings(asdict(arm) for arm in comparison.arms):
        console.print(Text(plain(f"! {warning}"), style="yellow"))
    for note in notes(asdict(comparison)):
        console.print(Text(plain(f"  {note}"), style="dim"))
    console.print()
    console.print(_differences("PAIRED", comparison.differences))
    if comparison.slices:
        console.print()
        console.print(_differences("SLICE", comparison.slices))
    if comparison.secondary:
        console.print()
        console.print(_differences("OTHER METRICS", comparison.secondary))
    _show_parity(console, comparison)
    _show_rows(console, comparison)
    if comparison.asked:
        spent = "some of them unpriced" if comparison.spent is None else dollars(comparison.spent)
        console.print()
        console.print(Text(f"this run made {comparison.asked:,} calls: {spent}", style="dim"))
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
    columns = (
        comparison.metric, "95% CI", *metrics[1:],
        "prompt", "out", "$/1k req", "p50/p95 ms", "missing",
    )  # fmt: skip
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
            _price(arm),
            f"{1000 * arm.latency_p50:,.0f}/{1000 * arm.latency_p95:,.0f}",
            str(arm.missing),
        )
        style = "bold" if arm.candidate else ""
        table.add_row(*(Text(plain(cell)) for cell in cells), style=style)
    table.caption = "* best baseline"
    table.caption_justify = "left"
    return table


def _price(arm: ArmResult) -> str:
    if arm.usd_per_1000 == 0:
        return "no bill"
    return dollars(arm.usd_per_1000)


def _differences(title: str, differences: Sequence[Difference]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, overflow="fold")
    for name in ("n", "diff", "95% CI", "won/lost", "p Holm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for found in differences:
        cells = (
            _named(found, title),
            str(found.n),
            signed(found.diff),
            f"[{signed(found.low)}, {signed(found.high)}]",
            f"{found.won}/{found.lost}",
            p_value(found.p_holm),
        )
        word = Text(strength(found), style=_STYLES[found.verdict])
        table.add_row(*(Text(plain(cell)) for cell in cells), word)
    return table


def _named(found: Difference, title: str) -> str:
    if title == "SLICE":
        return found.slice or ""
    arms = f"{found.candidate} - {found.baseline}"
    return f"{found.metric}: {arms}" if title == "OTHER METRICS" else arms


def _show_parity(console: Console, comparison: Comparison) -> None:
    found = comparison.decisive
    if found.parity is None:
        return
    test = found.parity
    shown = "equivalent both ways (TOST)" if test.equivalent else "shown"
    word = shown if test.p < float(comparison.plan["alpha"]) else "not shown"
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
    rival = comparison.decisive.baseline
    console.print(Text(plain(f"LOST to {rival} (first {len(lost)})"), style="bold"))
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
