"""How findings look: grouped for people, whole for programs."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.output import printable
from orchestrator.datasets.tokens.showing import OTHER, sizes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.checking.validation import Validation
    from orchestrator.datasets.findings.finding import Finding
    from orchestrator.datasets.tokens.showing import Piece

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
    if verdict.lengths is not None:
        lengths = verdict.lengths
        click.echo(
            f"  tokens a row: {lengths.smallest} to {lengths.largest}, median {lengths.median}"
        )
        if lengths.cut_rows:
            click.echo(
                f"  {lengths.cut_tokens} tokens of {lengths.cut_rows} row(s) would be cut off"
            )


class JsonStream:
    """Writes `validate --json` finding by finding, so that no number of them fills the memory."""

    def __init__(self, *, several: bool) -> None:
        """Start the object.

        Args:
            several: name the file in each finding.
        """
        self._several = several
        self._written = 0

    def write(self, name: str, finding: Finding) -> None:
        """Write one finding of a file."""
        entry = finding.as_json()
        if self._several:
            entry["file"] = name
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        before = ",\n    " if self._written else '{\n  "findings": [\n    '
        click.echo(before + text, nl=False)
        self._written += 1

    def end(self, verdicts: Sequence[Validation], estimate: dict[str, Any] | None) -> None:
        """Write what only the whole run knows."""
        summary = {**_summary_as_json(verdicts), "estimate": estimate}
        rest = json.dumps(summary, ensure_ascii=False, indent=2, allow_nan=False)
        start = "" if self._written else '{\n  "findings": ['
        click.echo(start + "],\n" + rest.removeprefix("{\n"))


def report_as_json(verdicts: Sequence[Validation]) -> dict[str, Any]:
    """What schemas/validate.schema.json describes, for one file or several."""
    several = len(verdicts) > 1
    report = _summary_as_json(verdicts)
    report["findings"] = [entry for verdict in verdicts for entry in _entries(verdict, several)]
    return report


def _summary_as_json(verdicts: Sequence[Validation]) -> dict[str, Any]:
    first = verdicts[0]
    counted = [verdict.tokens for verdict in verdicts if verdict.tokens is not None]
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        counts.update(verdict.counts)
    report: dict[str, Any] = {
        "ok": all(verdict.ok for verdict in verdicts),
        "rows": sum(verdict.rows for verdict in verdicts),
        "target": first.target,
        "method": first.method.value,
        "errors": sum(verdict.errors for verdict in verdicts),
        "warnings": sum(verdict.warnings for verdict in verdicts),
        "counts": dict(counts),
        "interrupted": any(verdict.interrupted for verdict in verdicts),
        "tokens": sum(counted) if counted else None,
        "encoding": first.encoding,
        "lengths": _lengths(first) if len(verdicts) == 1 else None,
    }
    if len(verdicts) > 1:
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
        "cut_rows": lengths.cut_rows,
        "cut_tokens": lengths.cut_tokens,
    }


def print_histogram(verdict: Validation) -> None:
    """How long the rows are, in tokens: one bar for each doubling."""
    lengths = verdict.lengths
    if lengths is None:
        return
    most = max(rows for _, rows in lengths.histogram)
    for edge, rows in lengths.histogram:
        bar = "#" * max(1, round(40 * rows / most))
        click.echo(f"  up to {edge:>7} tokens {rows:>9}  {bar}")
    longest = ", ".join(f"line {line} ({tokens})" for line, tokens in lengths.longest)
    click.echo(f"  longest: {longest}")


def print_pieces(
    pieces: Sequence[Piece], *, row: int, line: int, most: int | None, cut: int | None
) -> None:
    """A row as the model sees it; what it learns to write stands between marks, and in green."""
    for index, piece in enumerate(pieces):
        if index == cut:
            click.echo(
                click.style(f"--- the target stops reading in here, after {most} tokens", "red")
            )
        mark = "learned" if piece.trained else "read"
        is_whole = piece.label in {mark, OTHER} or not piece.tokens
        label = piece.label if is_whole else f"{mark} {piece.label}"
        tokens = f", {piece.tokens} tokens" if piece.tokens else ""
        click.echo(click.style(f"[{label}{tokens}]", dim=not piece.trained))
        if piece.text:
            click.echo(click.style(printable(piece.text), fg="green" if piece.trained else None))
    total, learned, other = sizes_of(pieces)
    more = f"; the answer that is not preferred has {other}" if other else ""
    click.echo(f"row {row}, line {line}: {total} tokens, {learned} of them learned{more}")


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
    counted = verdict.tokens is not None
    tokens = f", {verdict.tokens:,} tokens ({verdict.encoding})" if counted else ""
    words = "ok" if verdict.ok else "not ok"
    if verdict.interrupted:
        words = "not read to its end"
    return (
        f"{verdict.name}: {words} for {verdict.target} ({verdict.method}): {verdict.rows:,} rows, "
        f"{verdict.errors:,} errors, {verdict.warnings:,} warnings{tokens}"
    )
