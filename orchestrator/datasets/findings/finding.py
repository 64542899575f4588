"""A finding: where a dataset is wrong, in one sentence, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class Severity(StrEnum):
    """What a finding does to the verdict."""

    ERROR = "error"  #: the target refuses the file, or cannot train on the row
    WARNING = "warning"  #: it trains, and is probably not what was meant
    INFO = "info"  #: worth knowing


class Kind(NamedTuple):
    """What all findings of one code have in common; `{}` fields are filled per finding."""

    severity: Severity
    message: str
    fix: str


class Flaw(NamedTuple):
    """Something wrong inside one row, before it has a line.

    Attributes:
        code: a key of the catalogue.
        pointer: JSON Pointer (RFC 6901) into the row; empty for the row as a whole.
        fields: what fills the code's sentences.
        column: byte in the line, from 1; found through the pointer when None.
    """

    code: str
    pointer: str = ""
    fields: dict[str, Any] = {}
    column: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to mend.

    Attributes:
        line: physical line, from 1 (LF ends a line); None for the file as a whole.
        column: byte in the line, from 1; None when the whole line or file is meant.
        pointer: JSON Pointer (RFC 6901) into the row; empty for the row or file as a whole. Half a
            surrogate pair in a key is written as its escape.
        code: stable and kebab-case; each has a section in docs/findings.md.
        message: one sentence.
        fix: the mend, in one sentence.
    """

    code: str
    severity: Severity
    message: str
    fix: str
    line: int | None = None
    column: int | None = None
    pointer: str = ""

    @property
    def place(self) -> str:
        """Line, column and pointer as people read them: `line 3 column 12 (/messages/0)`."""
        if self.line is None:
            return "the file"
        column = f" column {self.column}" if self.column is not None else ""
        return f"line {self.line}{column}" + (f" ({self.pointer})" if self.pointer else "")

    def as_json(self) -> dict[str, Any]:
        """The object that `validate --json` prints."""
        return {
            "line": self.line,
            "column": self.column,
            "pointer": self.pointer,
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "fix": self.fix,
        }
