"""How findings look: grouped for people, whole for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.finding import Finding
    from orchestrator.datasets.validation import Validation

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


def print_report(verdict: Validation, *, shown: int | None = 1) -> None:
    """The first findings of each kind, how many more there are, and one line of summary.

    Args:
        verdict: of one file.
        shown: findings printed of each kind; None prints all.
    """
    printed: dict[str, int] = {}
    by_weight = sorted(verdict.findings, key=lambda finding: list(_COLOURS).index(finding.severity))
    for finding in by_weight:
        printed[finding.code] = printed.get(finding.code, 0) + 1
        if shown is None or printed[finding.code] <= shown:
            _print_finding(verdict, finding)
            if printed[finding.code] == shown:
                _print_more(verdict.counts[finding.code] - shown)
    click.echo(printable(_summary(verdict)))


def report_as_json(verdicts: Sequence[Validation]) -> dict[str, Any]:
    """What schemas/validate.schema.json describes, for one file or several."""
    first = verdicts[0]
    several = len(verdicts) > 1
    counted = [verdict.tokens for verdict in verdicts if verdict.tokens is not None]
    report: dict[str, Any] = {
        "ok": all(verdict.ok for verdict in verdicts),
        "rows": sum(verdict.rows for verdict in verdicts),
        "target": first.target,
        "method": first.method.value,
        "errors": sum(verdict.errors for verdict in verdicts),
        "warnings": sum(verdict.warnings for verdict in verdicts),
        "tokens": sum(counted) if counted else None,
        "encoding": first.encoding,
        "lengths": _lengths(first) if not several else None,
        "findings": [entry for verdict in verdicts for entry in _entries(verdict, several)],
    }
    if several:
        report["files"] = [
            {"file": v.name, "ok": v.ok, "rows": v.rows, "tokens": v.tokens} for v in verdicts
        ]
    return report


def _entries(verdict: Validation, several: bool) -> list[dict[str, Any]]:
    entries, told = [], set()
    for finding in verdict.findings:
        entry = finding.as_json()
        if several:
            entry["file"] = verdict.name
        if finding.code not in told:
            told.add(finding.code)
            entry["count"] = verdict.counts[finding.code]
        entries.append(entry)
    return entries


def _lengths(verdict: Validation) -> dict[str, Any] | None:
    lengths = verdict.lengths
    if lengths is None:
        return None
    return {
        "smallest": lengths.smallest,
        "median": lengths.median,
        "largest": lengths.largest,
        "longest": [{"line": line, "tokens": tokens} for line, tokens in lengths.longest],
        "histogram": [{"up_to": edge, "rows": rows} for edge, rows in lengths.histogram],
    }


def _print_finding(verdict: Validation, finding: Finding) -> None:
    where = verdict.name
    if finding.line is not None:
        where += f":{finding.line}" + (f":{finding.column}" if finding.column else "")
    pointer = f" {finding.pointer}" if finding.pointer else ""
    severity = click.style(finding.severity.value, fg=_COLOURS[finding.severity], bold=True)
    place = printable(where + pointer)
    click.echo(f"{place}: {severity}: {printable(finding.message)} [{finding.code}]")
    click.echo(f"  fix: {printable(finding.fix.replace('FILE', verdict.name))}")


def _print_more(more: int) -> None:
    if more > 0:
        click.echo(f"  and {more} more")


def _summary(verdict: Validation) -> str:
    tokens = f", {verdict.tokens} tokens ({verdict.encoding})" if verdict.tokens is not None else ""
    words = "ok" if verdict.ok else "not ok"
    return (
        f"{verdict.name}: {words} for {verdict.target} ({verdict.method}): {verdict.rows} rows, "
        f"{verdict.errors} errors, {verdict.warnings} warnings{tokens}"
    )
