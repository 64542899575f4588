"""How models write calls of tools: a table of styles, each known by a sign in a chat template."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["STYLES", "CallStyle", "style_of"]


@dataclass(frozen=True, kw_only=True)
class CallStyle:
    """One way of writing calls.

    ``sign`` is a pattern that only templates of this style hold. A call begins after one of
    ``openings``, of which the first is the one to write; "" is the beginning of the answer, where
    a JSON object is a call if it names a tool that was offered. ``before``, ``head``, ``tail``,
    ``between`` and ``after`` stand around the calls, their arguments and each other; NAME is the
    tool's name. ``named`` matches a name that stands in front of the arguments, outside of the JSON.
    ``marks`` has the ids of those ``special`` tokens that the tokenizer knows.
    """

    name: str
    sign: str
    openings: tuple[str, ...]
    before: str = ""
    head: str
    tail: str = ""
    between: str
    after: str = ""
    closer: str = ""
    named: str | None = None
    special: tuple[str, ...] = ()
    marks: Mapping[str, int] = field(default_factory=dict)

    @property
    def may_be_bare(self) -> bool:
        """Whether a call may begin without any sign."""
        return "" in self.openings

    def hidden(self, tokenizer: Any) -> frozenset[int] | None:
        """Return the special tokens that are no part of an answer; None for all there are."""
        if not self.marks:
            return None
        tokens = tokenizer.added_tokens_decoder
        special = {number for number, token in tokens.items() if token.special}
        return frozenset(special - set(self.marks.values()))


_QUOTED = '{"name": "NAME", "arguments": '
# The first whose sign is there is the style: what is more particular comes first.
STYLES = {
    style.name: style
    for style in (
        # Qwen, Hermes, SmolLM, Granite 4
        CallStyle(
            name="hermes",
            sign=r"<tool_call>",
            openings=("<tool_call>",),
            head=f"\n{_QUOTED}",
            tail="}\n</tool_call>",
            between="\n<tool_call>",
            closer="</tool_call>",
        ),
        # Mistral since 2025
        CallStyle(
            name="mistral",
            sign=r"\[ARGS\]",
            openings=("[TOOL_CALLS]",),
            head="NAME[ARGS]",
            between="[TOOL_CALLS]",
            named=r"([\w.-]+)\s*(?:\[CALL_ID\]\s*\w+\s*)?(?:\[ARGS\])?\s*(?=\{)",
            special=("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"),
        ),
        # Mistral before
        CallStyle(
            name="mistral-list",
            sign=r"\[TOOL_CALLS\]",
            openings=("[TOOL_CALLS]",),
            before=" [",
            head=_QUOTED,
            tail="}",
            between=", ",
            after="]",
            special=("[TOOL_CALLS]",),
        ),
        # Phi 4 mini
        CallStyle(
            name="phi",
            sign=r"<\|/tool\|>",
            openings=("<|tool_call|>", "functools"),
            before="[",
            head=_QUOTED,
            tail="}",
            between=", ",
            after="]<|/tool_call|>",
            closer="<|/tool_call|>",
            special=("<|tool_call|>", "<|/tool_call|>"),
        ),
        # Granite 3
        CallStyle(
            name="granite",
            sign=r"<\|tool_call\|>",
            openings=("<|tool_call|>",),
            before="[",
            head=_QUOTED,
            tail="}",
            between=", ",
            after="]",
            special=("<|tool_call|>",),
        ),
        # Functionary 3.1, and Llama for functions of one's own
        CallStyle(
            name="function",
            sign=r"<function=",
            openings=("<function=",),
            head="NAME>",
            tail="</function>",
            between="<function=",
            closer="</function>",
            named=r"([\w.-]+)>\s*(?=\{)",
        ),
        # Llama 3.1 to 3.3
        CallStyle(
            name="llama",
            sign=r'<\|python_tag\|>|"parameters": dictionary of argument',
            openings=("", "<|python_tag|>"),
            head='{"name": "NAME", "parameters": ',
            tail="}",
            between="; ",
            special=("<|python_tag|>",),
        ),
    )
}


def style_of(tokenizer: Any) -> CallStyle | None:
    """Return how a model writes calls, by its chat template; None where that does not say."""
    template = str(tokenizer.chat_template)
    for style in STYLES.values():
        if re.search(style.sign, template):
            tokens = tokenizer.added_tokens_decoder.items()
            known = {token.content: number for number, token in tokens if token.special}
            return replace(style, marks={n: known[n] for n in style.special if n in known})
    return None
