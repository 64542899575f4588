"""Findings as SARIF 2.1.0, the form in which code hosts show them beside the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.findings.codes import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.checking.validation import Validation
    from orchestrator.datasets.findings.finding import Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif_of(verdicts: Sequence[Validation], version: str) -> dict[str, Any]:
    """One run with every finding that is held.

    Args:
        verdicts: of one file each.
        version: of ftctl.
    """
    codes = list(dict.fromkeys(each.code for verdict in verdicts for each in verdict.findings))
    driver = {
        "name": "ftctl",
        "version": version,
        "rules": [_rule(code) for code in codes],
    }
    results = [
        _result(verdict, finding, codes.index(finding.code))
        for verdict in verdicts
        for finding in verdict.findings
    ]
    run = {"tool": {"driver": driver}, "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    kind = CATALOGUE[code]
    return {
        "id": code,
        "shortDescription": {"text": kind.message},
        "help": {"text": kind.fix},
        "defaultConfiguration": {"level": _LEVELS[kind.severity]},
    }


def _result(verdict: Validation, finding: Finding, index: int) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": finding.line or 1}
    if finding.column is not None:
        region["startColumn"] = finding.column
    place: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": verdict.name}, "region": region}
    }
    if finding.pointer:
        place["logicalLocations"] = [{"fullyQualifiedName": finding.pointer}]
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message} {finding.fix}"},
        "locations": [place],
    }
