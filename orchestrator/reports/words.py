"""How numbers and words of a report are written, in every form of it."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

# What a spreadsheet reads as the start of a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
VERDICTS = {
    "GO": ("Go", "Everything that decides is met."),
    "GO_CONDITIONAL": ("Go, with conditions", "What decides is met; the conditions named are not."),
    "NO_GO": ("No go", "Something that decides is not met."),
    "GATHER_EVIDENCE": ("Gather evidence", "What decides is not known yet. This is not a no."),
}
GROUPS = ("use case", "alternatives", "costs", "benefits", "migration")
_NEAR_SHOWN = 5
INPUTS = {
    "error_cost": "$ per wrong answer",
    "gain": "quality gain",
    "volume": "requests a month",
    "upkeep": "upkeep a month",
    "fixed": "hosting a month",
    "retrain_every": "months between retrainings",
    "baseline_request": "baseline prompt from cache, 80 % to 0 %",
}


# Controls, bidirectional overrides and lone surrogates: what data says must not act on a page.
_ACTING = dict.fromkeys(
    (
        *(c for c in range(32) if c not in {9, 10, 13}),
        *range(127, 160),
        *range(8234, 8239),
        *range(8294, 8298),
        *range(55296, 57344),
    ),
    65533,
)


def harmless(text: object) -> str:
    """The text without characters that act: each is shown as a replacement character."""
    return str(text).translate(_ACTING)


def spreadsheet(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; a text that would be a formula is quoted as text."""
    written = io.StringIO()
    writer = csv.writer(written)
    for row in (columns, *rows):
        writer.writerow([_cell(cell) for cell in row])
    return written.getvalue()


def money(amount: Mapping[str, Any]) -> str:
    """Dollars, or `unpriced`; never 0 for what is not known."""
    return dollars(amount["usd"])


def dollars(usd: float | None) -> str:
    """Dollars with as many cents as matter."""
    if usd is None:
        return "unpriced"
    if usd and abs(usd) < 0.01:
        return f"${usd:.5f}".rstrip("0").rstrip(".") if abs(usd) >= 0.00001 else f"${usd:.2g}"
    return f"-${-usd:,.2f}" if usd < 0 else f"${usd:,.2f}"


def points(value: float) -> str:
    """A proportion in points: 0.82 is 82.0."""
    return f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference in points, with its sign."""
    return f"{100 * value:+.1f}"


def age(span: timedelta) -> str:
    """A span of time in its largest unit."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def warnings(arms: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a reader must know about the arms before believing the numbers."""
    found = []
    for arm in arms:
        outside, n = arm.get("outside"), arm["n"]
        if outside and 2 * outside > n:
            found.append(
                f"{outside} of {n} answers of {arm['name']} are none of the labels: "
                "it is a weak rival, and a prompt that names the labels may be a better one"
            )
        if arm["truncated"]:
            cut = "1 answer" if arm["truncated"] == 1 else f"{arm['truncated']} answers"
            were = "was" if arm["truncated"] == 1 else "were"
            found.append(f"{cut} of {arm['name']} {were} cut at the token limit")
    return found


def notes(comparison: Mapping[str, Any]) -> list[str]:
    """What else belongs to the numbers: near leaks, noise, groups, parity, the judge."""
    found = []
    if comparison.get("near_leaked"):
        found.append(_near_note(comparison))
    noise, judging = comparison.get("noise"), comparison.get("judging")
    if noise:
        floor = (noise["high"] - noise["low"]) / 2
        how = "over its repeats" if noise["again"] == "its repeats" else "asked twice"
        found.append(
            f"{noise['arm']} {how} differs from itself by {signed(noise['diff'])} "
            f"[{signed(noise['low'])}, {signed(noise['high'])}] points, on "
            f"{noise['discordant']:.1%} of the rows; no margin below {points(floor)} can be judged"
        )
    if comparison.get("groups"):
        found.append(
            f"the rows fall into {comparison['groups']} groups; intervals and tests go by groups"
        )
    found += _parity_notes(comparison)
    if judging:
        found.append(_judge_note(judging))
        found += [_kin_note(judging)] if judging.get("kin") else []
        found += [_corrected_note(each) for each in judging.get("corrected", ())]
        found += [_corrected_pair_note(each) for each in judging.get("differences", ())]
    return found


def _near_note(comparison: Mapping[str, Any]) -> str:
    named = [f"{row} (as {of}, {100 * like:.0f} %)" for row, of, like in comparison["near_rows"]]
    more = ", …" if comparison["near_leaked"] > len(named) or len(named) > _NEAR_SHOWN else ""
    done = "left out" if comparison["near_dropped"] else "kept; --drop-near leaves them out"
    return (
        f"{comparison['near_leaked']} test rows nearly repeat a training row ({done}): "
        f"{', '.join(named[:_NEAR_SHOWN])}{more}"
    )


def _parity_notes(comparison: Mapping[str, Any]) -> list[str]:
    found = []
    needed, rows = comparison.get("parity_rows"), comparison["arms"][0]["n"]
    if needed and comparison["verdict"] == "Inconclusive":
        found.append(
            f"parity has 80 % power from {needed:,} rows if both are truly equal; these are {rows:,}"
        )
    if comparison.get("margin_after"):
        found.append(
            f"these rows had a result (comparison {comparison['margin_after']}) before this margin "
            "was set, so it was not fixed before"
        )
    return found


def _judge_note(judging: Mapping[str, Any]) -> str:
    judged = judging["judged"] or 1
    text = (
        f"{judging['model']} judged {judging['judged']:,} answers in both orders: "
        f"{judging['flips'] / judged:.0%} flipped, {judging['first']:.0%} of its choices stood first"
    )
    if judging.get("decided"):
        text += (
            f", {judging['longer']:.0%} of {judging['decided']:,} wins went to the longer answer"
        )
    if judging["kappa"] is not None:
        text += f"; kappa {judging['kappa']:.2f} with a person on {judging['labels']}"
    else:
        text += "; no person has checked it"
    if judging.get("opponent"):
        text += f"; the score is the share of answers better than {judging['opponent']}'s"
    return text


def _kin_note(judging: Mapping[str, Any]) -> str:
    return (
        f"{judging['model']} is of the same family as {', '.join(judging['kin'])}, and judges prefer "
        "their own: let a model of another family judge"
    )


def _corrected_note(found: Mapping[str, Any]) -> str:
    return (
        f"{found['arm']} as a person would score it: {points(found['value'])} "
        f"[{points(found['low'])}, {points(found['high'])}], from {found['labels']} labels and the "
        f"judge's {points(found['judged'])} (prediction-powered, weight {found['weight']:.2f})"
    )


def _corrected_pair_note(found: Mapping[str, Any]) -> str:
    return (
        f"{found['candidate']} - {found['baseline']} as a person would score them: "
        f"{signed(found['value'])} [{signed(found['low'])}, {signed(found['high'])}] points, from "
        f"{found['labels']} rows with labels of both and the judge's {signed(found['judged'])} "
        f"(prediction-powered, weight {found['weight']:.2f})"
    )


def p_value(p: float) -> str:
    """As papers print it."""
    if p < 0.0001:
        return "<.0001"
    return "1" if p >= 1 else f"{p:.4f}".lstrip("0")


def business_lines(costs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The money in words; empty while something is missing."""
    found, plan = costs["business"], costs["scenario"]
    if found is None or plan is None:
        return []
    payback = "never" if found["payback"] is None else f"{found['payback']:.1f} months"
    lines = [
        ("Spent once", dollars(plan["one_time"])),
        ("A month on the baseline", dollars(found["baseline_month"])),
        ("A month on the candidate", dollars(found["candidate_month"])),
        ("Errors avoided a month", f"{found['errors_avoided']:,.0f}"),
        ("Net benefit a month", dollars(found["benefit"])),
        ("The same without the worth of quality", dollars(found["saving"])),
        ("Payback", payback),
        ("Chance to pay back in time", f"{found['payback_chance']:.0%}"),
        (f"Net present value, {plan['months']} months", dollars(found["npv"])),
    ]
    for name, label, unit in (
        ("break_even_volume", "Break-even volume", "requests a month"),
        ("break_even_volume_cost_only", "The same on cost alone", "requests a month"),
    ):
        value = found[name]
        lines.append((label, "never" if value is None else f"{value:,.0f} {unit}"))
    if found.get("retrainings"):
        lines.append(("Retrainings until then", f"{found['retrainings']:,}"))
    worth = found["break_even_error_cost"]
    lines.append(("Break-even cost of an error", "never" if worth is None else dollars(worth)))
    return lines


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    clean = harmless(value)
    return f"'{clean}" if clean.startswith(_FORMULA) else clean


def assumption_lines(costs: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and origin of every number that the money rests on."""
    return [
        (
            each["name"].replace("_", " "),
            "–" if each["value"] is None else _number(each["value"]),
            each["origin"],
        )
        for each in costs["assumptions"]
    ]


def _number(value: float) -> str:
    """Three places, and of what is smaller than a hundredth three digits."""
    if 0 < abs(value) < 0.01:
        return f"{value:.3g}"
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def decisive_pair(comparison: Mapping[str, Any]) -> tuple[str, str]:
    """The arms that the verdict is about, by name."""
    rival = comparison["source"] or comparison["baseline"] or comparison["best_baseline"]
    return comparison["differences"][0]["candidate"], rival
