"""Dialects of two texts: prompt and completion, instruction and output, question and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.dialects import ALTERNATING, PAIR_KEYS
from orchestrator.datasets.dialects.from_transcripts import turns_of_transcript
from orchestrator.datasets.dialects.turns import Turned, Unconvertible, exchange, others_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ROLES_ASSUMED = "the prompt became a user message and the completion the assistant's"


def from_completion(record: dict[str, Any]) -> Turned:
    """Prompt and completion; the completion's leading space belonged to the old format."""
    asked, answered = _text(record, "prompt"), _text(record, "completion").strip()
    notes = [_ROLES_ASSUMED]
    if answered not in (record["completion"], record["completion"].removeprefix(" ")):
        notes.append("whitespace at the edges of the completion was left out")
    row = {"messages": [*_before(record), *exchange(asked, answered)]}
    losses = others_of(record, {"prompt", "completion", *_AROUND})
    return Turned(row=row, notes=notes, losses=losses)


def from_transcript(record: dict[str, Any]) -> Turned:
    """A prompt that is a transcript of Human and Assistant, and its completion."""
    turns = turns_of_transcript(_text(record, "prompt") + _text(record, "completion"))
    return Turned(row={"messages": turns}, losses=others_of(record, {"prompt", "completion"}))


def from_alpaca(record: dict[str, Any]) -> Turned:
    """instruction, input (Dolly: context), output (response), and perhaps system and history."""
    given = "input" if "input" in record else "context"
    answer = "output" if "output" in record else "response"
    asked, notes = _text(record, "instruction"), []
    if record.get(given):
        asked = f"{asked}\n{_text(record, given)}"
        notes.append(f"instruction and {given} were joined by a line break")
    messages = [*_before(record), *exchange(asked, _text(record, answer))]
    losses = others_of(record, {"instruction", given, answer, *_AROUND})
    return Turned(row={"messages": messages}, notes=notes, losses=losses)


def from_self_instruct(record: dict[str, Any]) -> Turned:
    """One instruction with one instance; several instances are several rows."""
    instances = record["instances"]
    if len(instances) != 1:
        raise Unconvertible(f"it has {len(instances)} instances; write one row for each first")
    flat = {"instruction": record["instruction"], **instances[0]}
    turned = from_alpaca(flat)
    turned.losses += others_of(record, {"instruction", "instances"})
    return turned


def from_pair(record: dict[str, Any]) -> Turned:
    """Two texts under the usual names, and perhaps system and history; all other keys are lost."""
    for asked, answered in PAIR_KEYS:
        if isinstance(record.get(asked), str) and isinstance(record.get(answered), str):
            note = f"{asked} became the user's message and {answered} the assistant's"
            messages = [*_before(record), *exchange(record[asked], record[answered])]
            losses = others_of(record, {asked, answered, *_AROUND})
            return Turned(row={"messages": messages}, notes=[note], losses=losses)
    raise Unconvertible("it has no pair of texts under a usual name")


def from_alternating(record: dict[str, Any]) -> Turned:
    """Texts alone: a user and the assistant in turn."""
    key = next(key for key in ALTERNATING if isinstance(record.get(key), list))
    roles = ("user", "assistant")
    if not all(isinstance(text, str) for text in record[key]):
        raise Unconvertible(f"{key} does not hold texts alone")
    messages = [
        {"role": roles[index % 2], "content": text} for index, text in enumerate(record[key])
    ]
    note = "texts without roles became a user's and the assistant's in turn"
    return Turned(row={"messages": messages}, notes=[note], losses=others_of(record, {key}))


def from_labelled_text(_record: dict[str, Any]) -> Turned:
    """A text and its class: what is asked about it stands nowhere."""
    raise Unconvertible(
        'nothing says what is asked; a mapping does: --system "..." --map "user={text}" '
        '--map "assistant={label}"'
    )


def from_text(_record: dict[str, Any]) -> Turned:
    """Plain text has no roles."""
    raise Unconvertible("plain text has no roles: nothing says what is asked and what is answered")


def from_steps(_record: dict[str, Any]) -> Turned:
    """Step labels have no place in a chat."""
    raise Unconvertible("labels of single steps have no place in a chat row")


PAIR_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "openai.completion": from_completion,
    "transcript.completion": from_transcript,
    "alternating": from_alternating,
    "text.label": from_labelled_text,
    "alpaca": from_alpaca,
    "self_instruct": from_self_instruct,
    "pairs": from_pair,
    "text": from_text,
    "trl.stepwise": from_steps,
}


_AROUND = ("system", "system_prompt", "history")


def _before(record: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands before the question: instructions, and earlier turns."""
    key = "system" if record.get("system") else "system_prompt"
    messages = [{"role": "system", "content": _text(record, key)}] if record.get(key) else []
    for question, answer in record.get("history") or ():
        messages += exchange(question, answer)
    return messages


def _text(record: dict[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str):
        raise Unconvertible(f"{key} is not a text")
    return value
