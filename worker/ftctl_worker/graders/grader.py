"""What a grader is, what it sees of an answer, and what comes out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fault", "Grade", "Grader", "GradingError", "fields_of", "fill", "names_in"]

# Words of the API's ``metadata.errors``.
Fault = Literal[
    "formula_parse_error",
    "invalid_variable_error",
    "other_error",
    "python_grader_runtime_error",
    "unresponsive_reward_error",
]
_HOLE = re.compile(r"\{\{\s*([\w.\[\]-]+)\s*\}\}")


class GradingError(Exception):
    """An answer could not be graded; that is no reward of zero."""

    def __init__(self, fault: Fault, message: str) -> None:
        """Keep which kind of fault it was."""
        super().__init__(message)
        self.fault: Fault = fault


@dataclass(frozen=True)
class Grade:
    """A reward, and those of the graders it was made of, by name."""

    reward: float
    parts: Mapping[str, float] = field(default_factory=dict)


class Grader(Protocol):
    """Gives answers a reward."""

    @property
    def name(self) -> str:
        """What the request called it."""
        ...

    @property
    def templates(self) -> tuple[str, ...]:
        """The texts whose holes it fills from the row and the answer."""
        ...

    def grade(self, fields: Mapping[str, Any]) -> Grade:
        """Grade ``fields``, as :func:`fields_of` makes them.

        Raises:
            GradingError: there is no reward for this answer.
        """
        ...


def fields_of(answer: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template may name: the answer as ``sample``, the row as ``item``."""
    sample: dict[str, Any] = {"output_text": answer}
    try:
        sample["output_json"] = json.loads(answer)
    except (ValueError, RecursionError):
        pass
    return {"sample": sample, "item": item}


def fill(template: str, fields: Mapping[str, Any]) -> str:
    """Return the template with its holes filled.

    Raises:
        GradingError: a hole names nothing.
    """
    return _HOLE.sub(lambda hole: _text(_find(hole[1], fields)), template)


def names_in(template: str) -> list[str]:
    """Return the names of a template's holes."""
    return _HOLE.findall(template)


def _find(name: str, fields: Mapping[str, Any]) -> Any:
    found: Any = fields
    for part in re.split(r"[.\[\]]+", name.rstrip("]")):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise GradingError("invalid_variable_error", f"there is no {name}")
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
