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

    from ftctl_worker.forms.call_styles import CallStyle

__all__ = ["BODY", "Grammar", "Tool", "check", "of_json", "of_text"]

BODY = "body"
# A space, or a line with its indentation: without a bound, a model may fill an answer with blanks.
_BLANKS = r" |\n[ \t]{0,16}"


@dataclass(frozen=True)
class Tool:
    """A function that may be called; ``schema`` describes its arguments."""

    name: str
    schema: dict[str, Any]
    strict: bool


@dataclass(frozen=True)
class Grammar:
    """What an answer has to be: JSON of the rule ``answer``, or calls of ``tools``.

    With ``must_call`` it has to be calls; without ``answer``, it may be any text, too.
    """

    answer: str | None = None
    tools: tuple[Tool, ...] = ()
    several: bool = False
    must_call: bool = False

    def text(self, style: CallStyle | None) -> str | None:
        """Return rules whose first is called ``body``, None where anything may be said.

        A model without a ``style`` of writing calls makes none.
        """
        if style is None or not self.tools:
            return None if self.answer is None else of_text(self.answer)
        if self.answer is None and not self.must_call:
            return _of_calls_or_text(self, style)
        other = "" if self.answer is None or self.must_call else f" | {self.answer}"
        opening = _literal(style.openings[0] + style.before, style)
        return f"{BODY}: {opening} {_list(self, style)}{other}\n{_calls(self.tools, style)}"


def of_json(schema: dict[str, Any], *, strict: bool) -> str:
    """Return a rule for JSON; unless strict, what cannot be held to in the schema is left out."""
    options = {"whitespace_pattern": _BLANKS, "lenient": not strict}
    return f"%json {json.dumps({**schema, 'x-guidance': options})}"


def of_text(answer: str) -> str:
    """Return a grammar for one answer in JSON."""
    return f"{BODY}: {answer}\n"


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


def _of_calls_or_text(grammar: Grammar, style: CallStyle) -> str:
    """Return rules for any text, in which a tool call, once it begins, is a proper one."""
    first = style.openings[0]
    calls = _list(grammar, style)
    if not first:
        other = r"TEXT: /(\s*[^{\s](.|\n)*)?/"
        return f"{BODY}: {calls} | TEXT\n{other}\n{_calls(grammar.tools, style)}"
    called = f"opening {_literal(style.before, style)} {calls}"
    body = f"({called})* TEXT" if grammar.several else f"{called} | TEXT"
    # No text holds a special token; any other opening ends the text in front of it.
    lazy = "" if first in style.marks else "[lazy]"
    opening = f"opening{lazy}: TEXT {_literal(first, style)}"
    return f"{BODY}: {body}\n{opening}\nTEXT: /(.|\\n)*/\n{_calls(grammar.tools, style)}"


def _list(grammar: Grammar, style: CallStyle) -> str:
    more = f" ({_literal(style.between, style)} call)*" if grammar.several else ""
    return f"call{more} {_literal(style.after, style)}"


def _calls(tools: Sequence[Tool], style: CallStyle) -> str:
    names = " | ".join(f"call_{number}" for number in range(len(tools)))
    lines = [f"call: {names}"]
    for number, tool in enumerate(tools):
        head = _literal(style.head.replace("NAME", tool.name), style)
        arguments = of_json(tool.schema, strict=tool.strict)
        lines.append(f"call_{number}: {head} {arguments} {_literal(style.tail, style)}")
    return "\n".join(lines) + "\n"


def _literal(text: str, style: CallStyle) -> str:
    """Return text as a grammar has it; a special token stands there by its number."""
    if not text:
        return ""
    for name, number in style.marks.items():
        before, found, after = text.partition(name)
        if found:
            return f"{_literal(before, style)} <[{number}]> {_literal(after, style)}"
    return json.dumps(text)
