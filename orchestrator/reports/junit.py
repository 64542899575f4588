"""A comparison as JUnit XML, which every CI shows: a suite of gates and a suite of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from orchestrator.reports.words import harmless, p_value, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LONGEST = 2_000
_STAYS_SHUT = "Degraded"
_OPENS = frozenset({"Improved", "Parity"})


def to_junit(comparison: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> str:
    """The XML: a gate that stays shut, or a row that was lost, is a failure; undecided is skipped.

    Args:
        comparison: as `compare.schema.json` describes it.
        rows: as `ftctl rows --json` prints them.
    """
    gates = [_gate(found) for found in [*comparison["differences"], *comparison["slices"]]]
    arm = comparison["differences"][0]["candidate"]
    cases = [_row(row, arm) for row in rows]
    name = f"ftctl.{comparison['id']}"
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f"<testsuites name={_quoted(name)}>",
            *_suite(f"{name}.gates", gates),
            *_suite(f"{name}.rows", cases),
            "</testsuites>",
            "",
        ]
    )


def _suite(name: str, cases: Sequence[tuple[str, str]]) -> list[str]:
    failures = sum(what == "failure" for what, _ in cases)
    skipped = sum(what == "skipped" for what, _ in cases)
    counts = f'tests="{len(cases)}" failures="{failures}" skipped="{skipped}" errors="0"'
    return [f"<testsuite name={_quoted(name)} {counts}>", *(x for _, x in cases), "</testsuite>"]


def _gate(found: Mapping[str, Any]) -> tuple[str, str]:
    name = f"{found['candidate']} against {found['baseline']}, {found['metric']}"
    name += f", {found['slice']}" if found["slice"] else ""
    said = (
        f"{found['verdict']}: {signed(found['diff'])} points "
        f"[{signed(found['low'])}, {signed(found['high'])}], p {p_value(found['p_holm'])}"
    )
    if found["verdict"] in _OPENS:
        return "passed", _case("gates", name, "", said)
    what = "failure" if found["verdict"] == _STAYS_SHUT else "skipped"
    return what, _case("gates", name, what, said)


def _row(row: Mapping[str, Any], arm: str) -> tuple[str, str]:
    name = f"row {row['row']}" + (f", {row['slice']}" if row["slice"] else "")
    answer = row["answers"].get(arm, {})
    said = "\n".join(
        f"{what}: {_short(text)}"
        for what, text in (
            ("asked", row["asked"]),
            ("wanted", row["reference"]),
            ("answered", answer.get("text")),
            ("score", answer.get("score")),
        )
    )
    what = {"lost": "failure", None: "skipped"}.get(row["outcome"], "")
    return what or "passed", _case("rows", name, what, said)


def _case(suite: str, name: str, what: str, said: str) -> str:
    head = f"<testcase classname={_quoted(suite)} name={_quoted(name)}"
    if not what:
        return f"{head}/>"
    message = _quoted(said.split("\n", maxsplit=1)[0])
    return f"{head}><{what} message={message}>{escape(_legal(said))}</{what}></testcase>"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def _quoted(text: str) -> str:
    return quoteattr(_legal(text))


def _legal(text: str) -> str:
    # XML 1.0 has no place for these two, however they are written.
    return harmless(text).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
