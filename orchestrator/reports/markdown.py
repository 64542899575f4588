"""The report as Markdown for pull requests and wikis: tables only, and everything escaped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orchestrator.reports.words import (
    GROUPS,
    VERDICTS,
    assumption_lines,
    business_lines,
    dollars,
    money,
    notes,
    p_value,
    points,
    signed,
    warnings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$=@-])")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_LONGEST = 400
_MARKS = {"pass": "✔", "fail": "✘", "unknown": "?", "n/a": "–"}


def to_markdown(report: Mapping[str, Any]) -> str:
    """GitHub-flavoured Markdown."""
    word, meaning = VERDICTS[report["verdict"]]
    job = report["job"]
    subject = f"fine-tuning {escape(job['model'])}" if job else escape(report["subject"])
    lines = [f"# {word}: {subject}", "", meaning, ""]
    if report["because"]:
        lines += ["Because: " + ", ".join(f"`{name}`" for name in report["because"]), ""]
    if report["actions"]:
        lines += ["## What to do next", ""]
        lines += [f"- `{', '.join(a['ids'])}`: {escape(a['text'])}" for a in report["actions"]] + [
            ""
        ]
    lines += _criteria(report)
    if report["comparison"]:
        lines += _comparison(report["comparison"])
    lines += _costs(report["costs"])
    lines += ["## Origin of every number", ""]
    lines += table(("what", "which"), [(k, v) for k, v in report["provenance"].items()])
    about = f"job {job['id']}" if job else f"comparison {report['comparison']['id']}"
    lines += [f"Made {report['created_at']} for {escape(about)}.", ""]
    return "\n".join(lines)


def comparison_to_markdown(comparison: Mapping[str, Any]) -> str:
    """A comparison alone, for a pull request.

    Args:
        comparison: as `compare.schema.json` describes it.
    """
    margin = comparison["plan"].get("margin")
    fixed = f", margin {points(margin)} points fixed before" if margin else ""
    rows = f"{comparison['arms'][0]['n']:,} rows, test {comparison['test'][:12]}{fixed}"
    return "\n".join([*_comparison(comparison), f"{escape(rows)}.", ""])


def escape(text: object) -> str:
    """Text from data: no markup, no HTML, one line that a pull request has room for."""
    whole = str(text)
    short = whole if len(whole) <= _LONGEST else f"{whole[:_LONGEST]}… ({len(whole):,} characters)"
    flat = _CONTROL.sub(" ", short)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", flat)


def _criteria(report: Mapping[str, Any]) -> list[str]:
    lines = ["## Checklist", ""]
    for group in GROUPS:
        rows = [c for c in report["criteria"] if c["group"] == group]
        if rows:
            lines += [f"### {group.capitalize()}", ""]
            lines += table(
                ("", "criterion", "evidence", "rule", "by"),
                [
                    (
                        f"{_MARKS[c['status']]} {c['status']}",
                        f"{c['title']} ({c['id']})",
                        c["evidence"],
                        f"{c['kind']}: {c['rule']}",
                        c["source"] or c["by"],
                    )
                    for c in rows
                ],
            )
    return lines


def _comparison(comparison: Mapping[str, Any]) -> list[str]:
    metric = comparison["metric"]
    lines = [f"## Comparison {escape(comparison['id'])}", ""]
    lines += [f"**{comparison['verdict']}**: {escape(comparison['reason'])}", ""]
    others = list(comparison["arms"][0]["metrics"])[1:]
    lines += table(
        ("arm", "model", metric, "95% CI", *others, "n", "prompt", "out", "p50/p95 ms"),
        [
            (
                f"{a['name']} *" if a["name"] == comparison["best_baseline"] else a["name"],
                a["model"],
                points(a["metrics"][metric]),
                "-".join(points(end) for end in a["intervals"][metric]),
                *(points(a["metrics"][name]) for name in others),
                a["n"],
                f"{a['prompt_tokens']:,.0f}",
                f"{a['completion_tokens']:,.0f}",
                f"{1000 * a['latency_p50']:,.0f}/{1000 * a['latency_p95']:,.0f}",
            )
            for a in comparison["arms"]
        ],
    )
    lines += [f"> {escape(warning)}\n" for warning in warnings(comparison["arms"])]
    lines += [f"{escape(note)}.\n" for note in notes(comparison)]
    lines += table(
        ("difference", "n", "points", "95% CI", "won/lost", "p Holm", "verdict"),
        [
            _difference(d, metric)
            for name in ("differences", "slices", "secondary")
            for d in comparison[name]
        ],
    )
    return lines + _rows(comparison["examples"])


def _difference(found: Mapping[str, Any], metric: str) -> tuple[str, ...]:
    name = f"{found['candidate']} - {found['baseline']}"
    name = name if found["metric"] == metric else f"{name}, {found['metric']}"
    return (
        f"{name}, {found['slice']}" if found["slice"] else name,
        f"{found['n']:,}",
        signed(found["diff"]),
        f"[{signed(found['low'])}, {signed(found['high'])}]",
        f"{found['won']}/{found['lost']}",
        p_value(found["p_holm"]),
        found["verdict"],
    )


def _rows(examples: Sequence[Mapping[str, Any]]) -> list[str]:
    if not examples:
        return []
    lines = ["<details><summary>Rows won and lost</summary>", ""]
    lines += table(
        ("row", "", "asked", "wanted", "candidate", "baseline"),
        [
            (
                row["row"],
                "won" if row["won"] else "lost",
                row["asked"],
                row["reference"],
                row["candidate"],
                row["baseline"],
            )
            for row in examples
        ],
    )
    return [*lines, "</details>", ""]


def _costs(costs: Mapping[str, Any]) -> list[str]:
    lines = ["## Costs", ""]
    rows: list[tuple[str, str, str]] = [
        ("training", money(costs["training"]), costs["training"]["note"]),
        ("evaluation", money(costs["evaluation"]), costs["evaluation"]["note"]),
        ("hosting a month", money(costs["hosting_month"]), costs["hosting_month"]["note"]),
    ]
    rows += [
        (f"1,000 requests to {a['name']}", dollars(a["usd_per_1000"]), a["note"])
        for a in costs["arms"]
    ]
    lines += table(("line", "USD", "how"), rows)
    lines += table(("money", ""), business_lines(costs))
    lines += table(("assumption", "value", "whose"), assumption_lines(costs))
    if costs["missing"]:
        lines += ["Missing for the rest: " + escape("; ".join(costs["missing"])), ""]
    old = [p for p in costs["prices"] if p["older_than_60_days"]]
    if old:
        lines += [f"{len(old)} prices were read more than 60 days before this report.", ""]
    return lines


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table, every cell escaped; none when there are no rows."""
    body = [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    if not body:
        return []
    return [f"| {' | '.join(escape(h) for h in head)} |", "|" + " --- |" * len(head), *body, ""]
