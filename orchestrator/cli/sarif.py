"""Findings as SARIF 2.1.0, the form in which code hosts show them beside the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.datasets.files.reading import cut_lines, opened
from orchestrator.datasets.findings.codes import CATALOGUE
from orchestrator.domain.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.datasets.checking.validation import Validation
    from orchestrator.datasets.findings.finding import Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif_of(verdicts: Sequence[Validation], version: str) -> dict[str, Any]:
    """One run with every finding that is held.

    SARIF counts characters where findings count bytes: each line with a finding is read once more.
    A stream cannot be read again, so its findings have lines alone.

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
        _result(verdict, finding, codes.index(finding.code), columns)
        for verdict in verdicts
        for columns in [_columns(verdict)]
        for finding in verdict.findings
    ]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: str) -> dict[str, Any]:
    kind = CATALOGUE[code]
    rule: dict[str, Any] = {
        "id": code,
        "shortDescription": {"text": _in_general(kind.message)},
        "defaultConfiguration": {"level": _LEVELS[kind.severity]},
    }
    if any(
        map(str.isalpha, mend := _in_general(kind.fix))
    ):  # Else each finding has a mend of its own.
        rule["help"] = {"text": mend}
    return rule


def _in_general(sentence: str) -> str:
    """A sentence of the catalogue without what differs from finding to finding."""
    plain = _FIELD.sub("…", sentence)
    return plain.replace("{{", "{").replace("}}", "}")


_FIELD = re.compile(r"(?<!\{)\{\w+[^{}]*\}(?!\})")


_Place = tuple[int | None, int | None]


def _columns(verdict: Validation) -> Mapping[_Place, int]:
    """Line and byte → the character at which it stands, from 1."""
    wanted: dict[int, set[int]] = {}
    for each in verdict.findings:
        if each.line is not None and each.column is not None:
            wanted.setdefault(each.line, set()).add(each.column)
    columns: dict[_Place, int] = {}
    path = Path(verdict.name)
    if not wanted or not path.is_file():
        return {}
    try:
        with opened(path) as source:
            for number, line in enumerate(cut_lines(source.stream), 1):
                for byte in wanted.pop(number, ()):
                    columns[number, byte] = len(line[: byte - 1].decode("utf-8", "replace")) + 1
                if not wanted:
                    break
    except DatasetInvalid:
        pass  # What could be read has its columns.
    return columns


def _result(
    verdict: Validation, finding: Finding, index: int, columns: Mapping[_Place, int]
) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": finding.line or 1}
    if column := columns.get((finding.line, finding.column)):
        region["startColumn"] = column
    artifact = {"uri": quote(Path(verdict.name).as_posix())}
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": artifact, "region": region}}
    if finding.pointer:
        place["logicalLocations"] = [{"fullyQualifiedName": finding.pointer}]
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message} {finding.fix}"},
        "locations": [place],
    }
