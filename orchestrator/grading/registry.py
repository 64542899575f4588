"""Graders by name: `exact`, `regex:PATTERN`, `json-fields:a,b`. Others register as these do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.grading.bleu import bleu
from orchestrator.grading.function import function
from orchestrator.grading.imported import read_grader
from orchestrator.grading.json_fields import JsonFields
from orchestrator.grading.json_schema import json_schema
from orchestrator.grading.judge import judge, judge_of_arms
from orchestrator.grading.overlap import Chrf, Fuzzy, Rouge
from orchestrator.grading.text import Contains, Exact, Normalised, Regex, TokenF1
from orchestrator.grading.tool_calls import ToolCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.grading.grader import Grader

#: What `--task` chooses; the first is the primary metric's grader.
TASKS = {
    "classification": "normalised",
    "extraction": "json-fields",
    "translation": "chrf",
    "qa": "token-f1",
    "tools": "tool-calls",
    "chat": "judge",
}

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


def grader_for(task: str) -> str:
    """The grader that suits a kind of task.

    Raises:
        UsageError: no such task, or one that no grader suits without a judge.
    """
    if task not in TASKS:
        raise UsageError(f"There is no task '{task}'; known are {', '.join(TASKS)}.")
    if task == "chat":
        raise UsageError(
            "Free conversation has no right answer to compare with; a model must judge it.",
            hint="--grader judge:gpt-6-luna@openai",
        )
    return TASKS[task]


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


def _tool_calls(argument: str | None) -> ToolCalls:
    if argument not in {None, "names"}:
        raise UsageError(
            "The grader 'tool-calls' takes nothing but names.", hint="tool-calls:names"
        )
    return ToolCalls(arguments=argument is None)


register("exact", lambda _: Exact())
register("normalised", lambda _: Normalised())
register("contains", lambda _: Contains())
register("regex", _regex)
register("token-f1", lambda _: TokenF1())
register("json-fields", _json_fields)
register("tool-calls", _tool_calls)
register("fuzzy", lambda _: Fuzzy())
register("chrf", lambda _: Chrf())
register("bleu", lambda _: bleu())
register("rouge-l", lambda _: Rouge())
register("rouge-1", lambda _: Rouge(order=1))
register("rouge-2", lambda _: Rouge(order=2))
register("json-schema", json_schema)
register("python", function)
register("judge", judge)
register("judge-arms", judge_of_arms)
register("file", read_grader)
