"""OpenAI's score_model and label_model: a model gives a number, or a label."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.grading.grader import Item, Score
from orchestrator.grading.templates import NoSuchField, fields_of, fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE]-?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Templated:
    """What every imported grader has in common."""

    name: str

    def grade(self, answer: str, reference: str) -> Score:
        """An imported grader names parts of the row, so it needs the row."""
        del answer, reference
        return Score(value=None, reason="an imported grader needs the whole row")


@dataclass(frozen=True, kw_only=True)
class ScoreModel(Templated):
    """score_model and label_model: a model gives a number within a range, or a label.

    Attributes:
        labels: label to score; empty for numbers.
    """

    messages: Sequence[Mapping[str, Any]]
    model: str
    span: tuple[float, float] = (0.0, 1.0)
    labels: Mapping[str, float]
    profile: str | None = None
    looks: int = 1

    def question(self, item: Item, look: int) -> Sequence[Mapping[str, Any]]:
        """The grader's own messages, and the form of the reply."""
        del look
        fields = fields_of(item)
        asked = [
            {"role": m["role"], "content": _filled(m["content"], fields)} for m in self.messages
        ]
        among = (
            "one of " + ", ".join(self.labels)
            if self.labels
            else (f"a number from {self.span[0]:g} to {self.span[1]:g}")
        )
        form = f'Reply with JSON only: {{"result": RESULT}}, where RESULT is {among}.'
        return [*asked, {"role": "user", "content": form}]

    def conclude(self, item: Item, replies: Sequence[str]) -> Score:
        """The number within its range, as a share of it."""
        del item
        result = _result(replies[0]) if replies else ""
        if self.labels:
            value = self.labels.get(result.strip())
            return Score(value=value, reason=f"the model said {result[:80]!r}")
        numbers = _NUMBER.findall(result)
        if not numbers:
            return Score(value=None, reason="the model gave no number")
        low, high = self.span
        value = (float(numbers[-1]) - low) / (high - low)
        if not 0 <= value <= 1:
            return Score(value=None, reason=f"{numbers[-1]} is not from {low:g} to {high:g}")
        return Score(value=value, reason=f"the model gave {numbers[-1]}")


def _filled(content: Any, fields: Mapping[str, Any]) -> str:
    texts = content if isinstance(content, list) else [content]
    plain = [part.get("text", "") if isinstance(part, dict) else str(part) for part in texts]
    try:
        return "".join(fill(text, fields) for text in plain)
    except NoSuchField as missing:
        return f"(the row has no {missing})"


def _result(reply: str) -> str:
    try:
        found = json.loads(reply.strip().removeprefix("```json").strip("` \n"))
    except (ValueError, RecursionError):
        return reply
    return str(found.get("result", "")) if isinstance(found, dict) else str(found)
