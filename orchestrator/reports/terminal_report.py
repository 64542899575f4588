"""For people at a terminal: a decision report as text, coloured where there is colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from orchestrator.reports.terminal import plain
from orchestrator.reports.words import GROUPS, VERDICTS, assumption_lines, business_lines, dollars

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

_VERDICT_STYLES = {
    "GO": "green",
    "GO_CONDITIONAL": "yellow",
    "NO_GO": "red",
    "GATHER_EVIDENCE": "yellow",
}
_STATUS_STYLES = {"pass": "green", "fail": "red", "unknown": "yellow", "n/a": "dim"}


def show_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print the decision, the checklist with its evidence, the money, and what to do next."""
    word, meaning = VERDICTS[report["verdict"]]
    style = _VERDICT_STYLES[report["verdict"]]
    console.print(
        Text.assemble(
            ("DECISION  ", "bold"),
            plain(f"{report['subject']}  ->  "),
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
    changed = [line for line in assumption_lines(costs) if line[2] not in {"answers", "not given"}]
    shown = ", ".join(f"{name} {value} ({origin})" for name, value, origin in changed)
    console.print(Text(plain(f"  assumed or measured: {shown}"), style="dim"))
    old = sum(price["older_than_60_days"] for price in costs["prices"])
    if old:
        console.print(Text(f"  {old} prices were read more than 60 days ago", style="yellow"))
