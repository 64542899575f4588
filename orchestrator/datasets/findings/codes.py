"""Every code a finding can have, with its severity, its sentence and its mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.datasets.findings.codes_of_files import FILE_KINDS
from orchestrator.datasets.findings.codes_of_lines import LINE_KINDS
from orchestrator.datasets.findings.codes_of_rows import ROW_KINDS
from orchestrator.datasets.findings.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.datasets.findings.finding import Kind, Severity

CATALOGUE: Mapping[str, Kind] = {**FILE_KINDS, **LINE_KINDS, **ROW_KINDS}


def found(
    code: str,
    *,
    line: int | None = None,
    column: int | None = None,
    pointer: str = "",
    severity: Severity | None = None,
    **fields: object,
) -> Finding:
    """Make a finding of a code.

    Args:
        code: a key of the catalogue.
        line: physical line, from 1; None for the file as a whole.
        column: byte in the line, from 1.
        pointer: JSON Pointer into the row.
        severity: the target's own; the catalogue's when None.
        fields: what fills the code's sentences.
    """
    kind = CATALOGUE[code]
    return Finding(
        code=code,
        severity=severity or kind.severity,
        message=_encodable(kind.message.format_map(fields)),
        fix=_encodable(kind.fix.format_map(fields)),
        line=line,
        column=column,
        pointer=_encodable(pointer),
    )


def _encodable(text: str) -> str:
    """Half a surrogate pair as its escape: else no report could be written."""
    return text.encode("utf-8", "backslashreplace").decode()
