"""`{{ item.answer }}` and `{{ sample.output_text }}`: how OpenAI's graders name parts of a row."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from orchestrator.domain.chat import plain_calls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.grading.grader import Item

_HOLE = re.compile(r"\{\{\s*([\w.\[\]-]+)\s*\}\}")


class NoSuchField(Exception):
    """The row has nothing of that name, so it cannot be graded."""


def fields_of(item: Item) -> dict[str, Any]:
    """What a template may name: the answer as `sample`, the row as `item`."""
    row = item.sample
    sample: dict[str, Any] = {
        "output_text": item.text,
        "output_tools": plain_calls(item.answer.tool_calls),
    }
    try:
        sample["output_json"] = json.loads(item.text)
    except (ValueError, RecursionError):
        pass
    known = {
        "reference": row.reference,
        "reference_answer": row.reference,
        "question": row.asked,
        "messages": [dict(message) for message in row.messages],
    }
    return {"sample": sample, "item": {**known, **row.fields}}


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """The template with every name replaced.

    Raises:
        NoSuchField: a name that the row does not have.
    """
    return _HOLE.sub(lambda hole: _text(_find(hole.group(1), fields)), template)


def _find(name: str, fields: Mapping[str, Any]) -> Any:
    found: Any = fields
    for part in re.split(r"[.\[\]]+", name.rstrip("]")):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise NoSuchField(name)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
