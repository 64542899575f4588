"""Texts that a chat template has already written out: its marks say who speaks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.datasets.dialects.turns import Turned, Unconvertible, others_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Template(NamedTuple):
    """How a template starts a turn, and ends it; where it has no end, whitespace at edges is its own.

    ``heads``: it writes the system text before the first turn, without a mark.
    """

    start: re.Pattern[str]
    end: re.Pattern[str] | None = None
    heads: bool = False


_MARKED = re.compile(r"###[ ]?(Human|User|Assistant|System|Instruction|Input|Response):")
_TEMPLATES = (
    _Template(re.compile(r"<\|im_start\|>(\w+)\n"), re.compile(r"<\|im_end\|>\s*\Z")),
    _Template(
        re.compile(
            r"<\|(?:start_header_id|header_start)\|>(\w+)<\|(?:end_header_id|header_end)\|>\n\n"
        ),
        re.compile(r"<\|eot(?:_id)?\|>\s*\Z"),
    ),
    _Template(
        re.compile(r"<\|start_of_role\|>(\w+)<\|end_of_role\|>"),
        re.compile(r"<\|end_of_text\|>\s*\Z"),
    ),
    _Template(
        re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(\w+)_TOKEN\|>"),
        re.compile(r"<\|END_OF_TURN_TOKEN\|>\s*\Z"),
    ),
    _Template(
        re.compile(r"<｜(User|Assistant)｜>"),
        re.compile(r"(?:<｜end▁of▁sentence｜>)?\s*\Z"),
        heads=True,
    ),
    _Template(re.compile(r"<start_of_turn>(\w+)\n"), re.compile(r"<end_of_turn>\s*\Z")),
    _Template(
        re.compile(r"<\|(system|user|prompter|assistant)\|>\n?"),
        re.compile(r"(?:</s>|<\|end\|>|<\|endoftext\|>)\s*\Z"),
    ),
    _Template(_MARKED, heads=True),
)
_ROLES = {
    **dict.fromkeys(("human", "user", "prompter", "instruction", "input"), "user"),
    **dict.fromkeys(("assistant", "model", "chatbot", "response"), "assistant"),
    "system": "system",
}
_OPENING = re.compile(r"(?:<s>|<bos>|<\|begin_of_text\|>|<BOS_TOKEN>|<｜begin▁of▁sentence｜>|\s)*")
_INSTRUCT = re.compile(
    r"\[INST\](.*?)\[/INST\](.*?)(?:</s>\s*(?:<s>\s*)?|(?=\[INST\])|\Z)", re.DOTALL
)
_SYSTEM = re.compile(r"\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)


def turns_of_rendered(text: str) -> list[dict[str, Any]] | None:
    """The messages of a text with a template's marks; None where it has none, or others between."""
    if _INSTRUCT.match(text, _opened(text)):
        return _instructed(text)
    for template in _TEMPLATES:
        head, *pieces = template.start.split(text)
        if pieces:
            return _turns(template, head, pieces)
    return None


def from_rendered(record: dict[str, Any]) -> Turned:
    """A text with the marks of a chat template, which are taken out."""
    turns = turns_of_rendered(record["text"])
    if not turns:
        raise Unconvertible("the marks in its text are not those of one chat template")
    notes = ["the marks of a chat template were taken out, whitespace beside them too"]
    return Turned(row={"messages": turns}, notes=notes, losses=others_of(record, {"text"}))


RENDERED_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "text.rendered": from_rendered
}


def _opened(text: str) -> int:
    """Where the first turn starts."""
    found = _OPENING.match(text)
    return found.end() if found else 0


def _turns(template: _Template, head: str, pieces: list[str]) -> list[dict[str, Any]] | None:
    head = head[_opened(head) :]
    turns: list[dict[str, Any]] = []
    if head and template.heads:
        turns.append({"role": "system", "content": head.strip()})
    elif head:
        return None
    for number, (speaker, said) in enumerate(zip(pieces[::2], pieces[1::2], strict=True)):
        role, is_last = _ROLES.get(speaker.lower()), 2 * number + 2 == len(pieces)
        ends = template.end.search(said) if template.end else None
        if role is None or (template.end and not ends and not is_last):
            return None
        content = said[: ends.start()] if ends else said.strip()
        if role == "user" and speaker == "Input" and turns and turns[-1]["role"] == "user":
            turns[-1]["content"] += f"\n{content}"
        elif content or not is_last:  # A prompt ends with the mark of the one who is to answer.
            turns.append({"role": role, "content": content})
    return turns


def _instructed(text: str) -> list[dict[str, Any]] | None:
    turns: list[dict[str, Any]] = []
    at = _opened(text)
    while at < len(text.rstrip()):
        found = _INSTRUCT.match(text, at)
        if found is None:
            return None
        asked, answered = found.groups()
        if not turns and (system := _SYSTEM.match(asked)):
            turns.append({"role": "system", "content": system.group(1).strip()})
            asked = asked[system.end() :]
        turns.append({"role": "user", "content": asked.strip()})
        if answered.strip():
            turns.append({"role": "assistant", "content": answered.strip()})
        at = found.end()
    return turns
