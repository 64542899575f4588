"""Graders by name: `exact`, `regex:PATTERN`, `json-fields:a,b`. Others register as these do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.grading.json_fields import JsonFields
from orchestrator.grading.text import Contains, Exact, Normalised, Regex, TokenF1

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.grading.grader import Grader

_makers: dict[str, Callable[[str | None], Grader]] = {}


def register(name: str, maker: Callable[[str | None], Grader]) -> None:
    """Add a grader; `maker` takes what stands after the colon, or None."""
    _makers[name] = maker


def make_grader(spec: str) -> Grader:
    """A grader by its name, with its argument after a colon.

    Raises:
        UsageError: no such grader, or an argument that makes no sense.
    """
    name, _, argument = spec.partition(":")
    if name not in _makers:
        known = ", ".join(grader_names())
        raise UsageError(f"There is no grader '{name}'; known are {known}.")
    return _makers[name](argument or None)


def grader_names() -> list[str]:
    """Every grader there is."""
    return sorted(_makers)


def _regex(argument: str | None) -> Regex:
    if argument is None:
        raise UsageError("The grader 'regex' needs a pattern.", hint="--grader 'regex:#### (.+)'")
    try:
        return Regex(pattern=re.compile(argument, re.MULTILINE))
    except re.error as error:
        raise UsageError(f"The pattern of the grader is not valid: {error}.") from error


def _json_fields(argument: str | None) -> JsonFields:
    return JsonFields(fields=tuple(argument.split(",")) if argument else None)


register("exact", lambda _: Exact())
register("normalised", lambda _: Normalised())
register("contains", lambda _: Contains())
register("regex", _regex)
register("token-f1", lambda _: TokenF1())
register("json-fields", _json_fields)
