"""Dialects of two texts: prompt and completion, instruction and output, question and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.dialects import PAIR_KEYS
from orchestrator.datasets.dialects.turns import Turned, Unconvertible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ROLES_ASSUMED = "the prompt became a user message and the completion the assistant's"


def from_completion(record: dict[str, Any]) -> Turned:
    """Prompt and completion; the completion's leading space belonged to the old format."""
    row = _exchange(_text(record, "prompt"), _text(record, "completion").strip())
    return Turned(row=row, notes=[_ROLES_ASSUMED], losses=_others(record, "prompt", "completion"))


def from_alpaca(record: dict[str, Any]) -> Turned:
    """instruction, input, output, and perhaps system and history."""
    asked, notes = _text(record, "instruction"), []
    if record.get("input"):
        asked = f"{asked}\n{_text(record, 'input')}"
        notes.append("instruction and input were joined by a line break")
    messages = [{"role": "system", "content": record["system"]}] if record.get("system") else []
    for question, answer in record.get("history") or ():
        messages += _exchange(question, answer)["messages"]
    messages += _exchange(asked, _text(record, "output"))["messages"]
    losses = _others(record, "instruction", "input", "output", "system", "history")
    return Turned(row={"messages": messages}, notes=notes, losses=losses)


def from_self_instruct(record: dict[str, Any]) -> Turned:
    """One instruction with one instance; several instances are several rows."""
    instances = record["instances"]
    if len(instances) != 1:
        raise Unconvertible(f"it has {len(instances)} instances; write one row for each first")
    flat = {"instruction": record["instruction"], **instances[0]}
    turned = from_alpaca(flat)
    turned.losses += _others(record, "instruction", "instances")
    return turned


def from_pair(record: dict[str, Any]) -> Turned:
    """Two texts under the usual names; all other keys are lost."""
    for asked, answered in PAIR_KEYS:
        if isinstance(record.get(asked), str) and isinstance(record.get(answered), str):
            note = f"{asked} became the user's message and {answered} the assistant's"
            row = _exchange(record[asked], record[answered])
            return Turned(row=row, notes=[note], losses=_others(record, asked, answered))
    raise Unconvertible("it has no pair of texts under a usual name")


def from_text(_record: dict[str, Any]) -> Turned:
    """Plain text has no roles."""
    raise Unconvertible("plain text has no roles: nothing says what is asked and what is answered")


def from_steps(_record: dict[str, Any]) -> Turned:
    """Step labels have no place in a chat."""
    raise Unconvertible("labels of single steps have no place in a chat row")


PAIR_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "openai.completion": from_completion,
    "alpaca": from_alpaca,
    "self_instruct": from_self_instruct,
    "pairs": from_pair,
    "text": from_text,
    "trl.stepwise": from_steps,
}


def _exchange(asked: str, answered: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answered},
        ]
    }


def _text(record: dict[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str):
        raise Unconvertible(f"{key} is not a text")
    return value


def _others(record: dict[str, Any], *used: str) -> list[str]:
    others = [key for key, value in record.items() if key not in used and value not in (None, "")]
    return [f"the key(s) {', '.join(map(str, others))}"] if others else []
