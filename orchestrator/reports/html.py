"""The report as one HTML file: no script, nothing remote, every text from data escaped."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Any

from orchestrator.reports.charts import other_charts, quality_charts
from orchestrator.reports.style import STYLE
from orchestrator.reports.words import (
    GROUPS,
    VERDICTS,
    assumption_lines,
    business_lines,
    decisive_pair,
    dollars,
    harmless,
    money,
    notes,
    p_value,
    points,
    signed,
    warnings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Longer texts fold: a row of a megabyte must not become a page of one.
_LONGEST = 600
_MOST_LABELS = 12
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"


def to_html(report: Mapping[str, Any]) -> str:
    """One page; the same report gives the same bytes."""
    word, meaning = VERDICTS[report["verdict"]]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{text(word)}: {text(report['subject'])}</title>",
        f"<style>{STYLE}</style></head><body><main>",
        _head(report, word, meaning),
        _next(report["actions"]),
        _comparison(report["comparison"]),
        *(_chart(*drawn) for drawn in quality_charts(report)),
        _criteria(report["criteria"]),
        _costs(report["costs"]),
        *(_chart(*drawn) for drawn in other_charts(report)),
        _rows(report["comparison"]),
        _origin(report),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def text(value: object) -> str:
    """Text from data: escaped, bounded, and without characters that act."""
    flat = harmless(value)
    return escape(flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…")


def _head(report: Mapping[str, Any], word: str, meaning: str) -> str:
    job = report["job"]
    because = "".join(f"<code>{text(name)}</code> " for name in report["because"])
    reason = f"<p>Because of {because}</p>" if because else ""
    about = f"comparison {report['comparison']['id']}" if job is None else f"job {job['id']}"
    return (
        f'<header class="{report["verdict"].lower()}"><p class="eyebrow">Decision report · '
        f"{text(about)} · {text(report['created_at'][:10])}</p><h1>{text(word)}</h1>"
        f"<p>{text(meaning)}</p>{reason}"
        f"<p class=dim>{text(_who(report))}</p></header>"
    )


def _who(report: Mapping[str, Any]) -> str:
    job = report["job"]
    if job is None:
        return str(report["subject"])
    tuned = f" → {job['tuned_model']}" if job["tuned_model"] else ""
    return f"{job['model']}{tuned} · {job['provider']} · {job['method']}"


def _next(actions: Sequence[Mapping[str, Any]]) -> str:
    if not actions:
        return ""
    items = "".join(
        "<li>" + "".join(f"<code>{text(i)}</code> " for i in a["ids"]) + f"{text(a['text'])}</li>"
        for a in actions
    )
    return f"<section><h2>What to do next</h2><ul>{items}</ul></section>"


def _chart(heading: str, chart: str) -> str:
    return f"<section><h2>{text(heading)}</h2><div class=wide>{chart}</div></section>"


def _criteria(criteria: Sequence[Mapping[str, Any]]) -> str:
    blocks = []
    for group in GROUPS:
        rows = [c for c in criteria if c["group"] == group]
        if rows:
            body = "".join(_criterion(c) for c in rows)
            blocks.append(f"<h3>{group.capitalize()}</h3><table class=checks>{body}</table>")
    return f"<section><h2>Checklist</h2>{''.join(blocks)}</section>"


def _criterion(c: Mapping[str, Any]) -> str:
    name = {"pass": "pass", "fail": "fail", "unknown": "unknown", "n/a": "na"}[c["status"]]
    open_yet = "a person answers" if c["by"] == "human" else "not measured"
    who = c["source"] or (open_yet if c["status"] == "unknown" else "")
    human = " human" if c["by"] == "human" else ""
    return (
        f"<tr><td><span class='badge {name}'>{text(c['status'])}</span></td>"
        f"<td><strong>{text(c['title'])}</strong> <code>{text(c['id'])}</code>"
        f"<br><span class=dim>{text(c['kind'])}: {text(c['rule'])}</span></td>"
        f"<td>{text(c['evidence']) or '–'}<br><span class='dim{human}'>{text(who)}</span></td></tr>"
    )


def _comparison(comparison: Mapping[str, Any] | None) -> str:
    if not comparison:
        return "<section><h2>Comparison</h2><p>Nothing was compared yet.</p></section>"
    metric, best = comparison["metric"], comparison["best_baseline"]
    others = list(comparison["arms"][0]["metrics"])[1:]
    arms = _table(
        ("arm", "model", metric, "95% CI", *others, "n", "prompt", "out", "p50/p95 ms"),
        [
            (
                f"{a['name']} *" if a["name"] == best else a["name"],
                a["model"],
                points(a["metrics"][metric]),
                "–".join(points(end) for end in a["intervals"][metric]),
                *(points(a["metrics"][name]) for name in others),
                f"{a['n']:,}",
                f"{a['prompt_tokens']:,.0f}",
                f"{a['completion_tokens']:,.0f}",
                f"{1000 * a['latency_p50']:,.0f}/{1000 * a['latency_p95']:,.0f}",
            )
            for a in comparison["arms"]
        ],
        words=2,
    )
    how = "kept" if comparison["leakage_allowed"] else "left out"
    leaked = (
        f"; {comparison['leaked']} rows that training has {how}" if comparison["leaked"] else ""
    )
    found = [*comparison["differences"], *comparison["slices"], *comparison["secondary"]]
    differences = _table(
        ("difference", "n", "points", "95% CI", "won/lost", "p (Holm)", "verdict"),
        [_difference(d, metric) for d in found],
        last=1,
    )
    return (
        f"<section><h2>Comparison</h2><p><strong>{text(comparison['verdict'])}</strong>: "
        f"{text(comparison['reason'])}</p>{arms}<p class=dim>* best baseline; {text(metric)} in "
        f"points{leaked}</p>{_warnings(comparison)}{differences}"
        f"{_confusion(comparison)}</section>"
    )


def _warnings(comparison: Mapping[str, Any]) -> str:
    found = [f"<p class=unknown>{text(warning)}</p>" for warning in warnings(comparison["arms"])]
    found += [f"<p class=dim>{text(note)}.</p>" for note in notes(comparison)]
    return "".join(found)


def _confusion(comparison: Mapping[str, Any]) -> str:
    """What the candidate answered for each label, where the task is one of few labels."""
    candidate = next((arm for arm in comparison["arms"] if arm["candidate"]), None)
    counts = {(r, a): n for r, a, n in candidate.get("confusion", ())} if candidate else {}
    wanted = sorted({reference for reference, _ in counts})
    given = sorted({answered for _, answered in counts} | set(wanted))
    if not counts or candidate is None or len(given) > _MOST_LABELS:
        return ""
    body = _table(
        ("wanted, answered:", *given),
        [(w, *(str(counts.get((w, g), "")) for g in given)) for w in wanted],
    )
    name = text(candidate["name"])
    return f"<details><summary>What {name} answered for each label</summary>{body}</details>"


def _difference(d: Mapping[str, Any], metric: str) -> tuple[str, ...]:
    name = d["slice"] or f"{d['candidate']} - {d['baseline']}"
    name = name if d["metric"] == metric else f"{name}, {d['metric']}"
    return (
        f"only {name}" if d["slice"] else name,
        f"{d['n']:,}",
        signed(d["diff"]),
        f"[{signed(d['low'])}, {signed(d['high'])}]",
        f"{d['won']}/{d['lost']}",
        p_value(d["p_holm"]),
        d["verdict"],
    )


def _costs(costs: Mapping[str, Any]) -> str:
    lines = [
        ("training", money(costs["training"]), costs["training"]["note"]),
        ("evaluation", money(costs["evaluation"]), costs["evaluation"]["note"]),
        ("hosting a month", money(costs["hosting_month"]), costs["hosting_month"]["note"]),
        ("effort", money(costs["effort"]), costs["effort"]["note"]),
        *(
            (f"1,000 requests to {a['name']}", dollars(a["usd_per_1000"]), a["note"])
            for a in costs["arms"]
        ),
    ]
    body = _table(("line", "USD", "how"), lines, last=1)
    body += _table(("money", ""), business_lines(costs))
    if costs["missing"]:
        items = "".join(f"<li>{text(item)}</li>" for item in costs["missing"])
        body += f"<p>Payback and value are not computed; missing:</p><ul>{items}</ul>"
    rests = _table(("assumption", "value", "whose"), assumption_lines(costs), last=1)
    body += f"<details><summary>What the money rests on</summary>{rests}</details>"
    if costs["prices"]:
        body += "<details><summary>Prices used</summary>" + _prices(costs["prices"]) + "</details>"
    return f"<section><h2>Costs</h2>{body}</section>"


def _prices(prices: Sequence[Mapping[str, Any]]) -> str:
    return _table(
        ("model", "kind", "USD", "read on", "source"),
        [
            (
                f"{p['provider']} {p['model']} ({p['tier']})",
                p["kind"],
                f"{p['usd']:g} / {p['unit'].replace('_', ' ')}",
                p["read_on"] + (" (old)" if p["older_than_60_days"] else ""),
                p["source"],
            )
            for p in prices
        ],
        words=2,
        last=1,
    )


def _rows(comparison: Mapping[str, Any] | None) -> str:
    if not comparison or not comparison["examples"]:
        return ""
    body = _table(
        ("row", "", "asked", "wanted", *decisive_pair(comparison)),
        [
            (
                str(r["row"]),
                "won" if r["won"] else "lost",
                r["asked"],
                r["reference"],
                r["candidate"],
                r["baseline"],
            )
            for r in comparison["examples"]
        ],
        words=6,
    )
    return (
        "<section><h2>Rows to read</h2><details><summary>Rows won and lost against the best "
        f"baseline</summary>{body}</details></section>"
    )


def _origin(report: Mapping[str, Any]) -> str:
    body = _table(("what", "which"), list(report["provenance"].items()), words=2)
    signed_by = report["answered_by"]
    by = f"<p>Answers by <span class=human>{text(signed_by)}</span></p>" if signed_by else ""
    return f"<section><h2>Origin of every number</h2>{by}{body}</section>"


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1, last: int = 0
) -> str:
    """A table whose first `words` and `last` columns are text; the others stand right."""
    numbers = range(words, len(head) - last)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=num' if place in numbers else ''}>{text(cell)}</td>"
            for place, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    top = "".join(
        f"<th{' class=num' if place in numbers else ''}>{text(h)}</th>"
        for place, h in enumerate(head)
    )
    return (
        f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )
