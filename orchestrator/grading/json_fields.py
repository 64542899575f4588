"""A grader for answers that are JSON objects: how many fields of the reference are right."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.grading.grader import Score

_FENCE = re.compile(r"^```\w*\s*\n(.*?)\n?```$", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class JsonFields:
    """The share of fields that are right; a field the reference does not have counts against it.

    Attributes:
        fields: only these top-level fields; all of the reference's when None.
    """

    fields: tuple[str, ...] | None = None
    name: str = "json_fields"

    def grade(self, answer: str, reference: str) -> Score:
        """Between 0 and 1; a reference that is no object cannot be graded."""
        wanted = parse_object(reference)
        if wanted is None:
            return Score(value=None, reason="the reference is not a JSON object")
        got = parse_object(answer)
        if got is None:
            return Score(value=0.0, passed=False, reason="the answer is not a JSON object")
        names = self.fields or tuple(sorted({*wanted, *got}))
        if not names:
            return Score(value=1.0, passed=True, reason="both are empty")
        wrong = [name for name in names if not _same(got, wanted, name)]
        return Score(
            value=1 - len(wrong) / len(names),
            passed=not wrong,
            reason="wrong: " + ", ".join(wrong) if wrong else "every field is right",
        )


class Parsed(NamedTuple):
    """A JSON value; a text may also hold the value null."""

    value: Any


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object a text is, also inside a Markdown fence; None when it is none."""
    parsed = parse_json(text)
    return parsed.value if parsed is not None and isinstance(parsed.value, dict) else None


def parse_json(text: str) -> Parsed | None:
    """The JSON value a text is, also inside a Markdown fence; None when it is none."""
    fenced = _FENCE.match(text.strip())
    try:
        return Parsed(json.loads(fenced.group(1) if fenced else text, parse_float=_number))
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> float | int:
    """In JSON 1.0 and 1 are the same number."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _same(got: dict[str, Any], wanted: dict[str, Any], name: str) -> bool:
    if (name in got) != (name in wanted):
        return False
    # True == 1 in Python, and is not in JSON.
    return json.dumps(got.get(name), sort_keys=True) == json.dumps(wanted.get(name), sort_keys=True)
