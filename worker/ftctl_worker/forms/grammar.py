"""What an answer has to look like: JSON of a schema, or calls of the tools that were offered.

A grammar is text in the variant of Lark that llguidance reads; it is checked before a request is
queued, and followed token by token while it is answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BODY", "Grammar", "Tool", "check", "of_calls", "of_calls_or_text", "of_json", "of_text"]

BODY = "body"
# A space, or a line with its indentation: without a bound, a model may fill an answer with blanks.
_BLANKS = r" |\n[ \t]{0,16}"
_TAG = '"<tool_call>"'


@dataclass(frozen=True)
class Grammar:
    """Rules whose first is called ``body``; None where anything may be said.

    ``calling`` holds for models whose chat template has them write tool calls between tags,
    ``plain`` for all others. With ``must_call`` the others cannot answer at all.
    """

    plain: str | None = None
    calling: str | None = None
    must_call: bool = False


@dataclass(frozen=True)
class Tool:
    """A function that may be called; ``schema`` describes its arguments."""

    name: str
    schema: dict[str, Any]
    strict: bool


def of_json(schema: dict[str, Any], *, strict: bool) -> str:
    """Return a rule for JSON; unless strict, what cannot be held to in the schema is left out."""
    options = {"whitespace_pattern": _BLANKS, "lenient": not strict}
    return f"%json {json.dumps({**schema, 'x-guidance': options})}"


def of_text(answer: str) -> str:
    """Return a grammar for one answer in JSON."""
    return f"{BODY}: {answer}\n"


def of_calls(tools: Sequence[Tool], *, several: bool, instead: str | None = None) -> str:
    """Return a grammar for one call of one of the tools, or several; or an answer ``instead``."""
    more = r' ("\n<tool_call>" call)*' if several else ""
    other = "" if instead is None else f" | {instead}"
    return f"{BODY}: {_TAG} call{more}{other}\n{_calls(tools)}"


def of_calls_or_text(tools: Sequence[Tool], *, several: bool) -> str:
    """Return a grammar for any text, in which a tool call, once it begins, is a proper one."""
    body = "(opening call)* TEXT" if several else "opening call | TEXT"
    return f"{BODY}: {body}\nopening[lazy]: TEXT {_TAG}\nTEXT: /(.|\\n)*/\n{_calls(tools)}"


def check(rule: str, what: str, param: str) -> None:
    """Make sure that the rule of one schema can be followed; ``what`` names the schema.

    Raises:
        BadRequestError: it cannot, or what follows it is not installed here.
    """
    try:
        from llguidance import LLMatcher
    except ImportError:
        raise BadRequestError(
            f"'{param}' needs constrained decoding: pip install 'ftctl-worker[constrained]' on the "
            "server. Without it, ask for the form in the prompt, or teach it by training rows.",
            param=param,
            code="unsupported_parameter",
        ) from None
    refused, said = LLMatcher.validate_grammar_with_warnings(f"start: {BODY}\n{of_text(rule)}")
    if refused:
        reason = " ".join(said[0].split())[:300].rstrip(".")
        raise BadRequestError(f"Invalid schema for {what}: {reason}.", param=param)


def _calls(tools: Sequence[Tool]) -> str:
    names = " | ".join(f"call_{number}" for number in range(len(tools)))
    lines = [f"call: {names}"]
    for number, tool in enumerate(tools):
        head = json.dumps(f'\n{{"name": {json.dumps(tool.name)}, "arguments": ')
        arguments = of_json(tool.schema, strict=tool.strict)
        lines.append(f'call_{number}: {head} {arguments} "}}\\n</tool_call>"')
    return "\n".join(lines) + "\n"
