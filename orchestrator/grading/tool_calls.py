"""A grader for answers that call tools: the same calls with the same arguments, or rightly none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.domain.chat import plain_calls
from orchestrator.grading.grader import Score

if TYPE_CHECKING:
    from orchestrator.grading.grader import Item


@dataclass(frozen=True, kw_only=True)
class ToolCalls:
    """Whether the tools that should be called are called, in whatever order, and no others.

    Where the row wants no call, an answer that makes none is right, whatever it says: what it
    says is for another grader.

    Attributes:
        arguments: compare arguments too, as JSON values; names only otherwise.
    """

    arguments: bool = True
    name: str = "tool_calls"

    def grade(self, answer: str, reference: str) -> Score:
        """1 when both texts are the same calls, or neither is one."""
        return self._compare(_parsed(answer), _parsed(reference))

    def grade_item(self, item: Item) -> Score:
        """1 when the answer makes the calls of the reference, whatever it says beside them."""
        called = plain_calls(item.answer.tool_calls) or _parsed(item.text)
        return self._compare(
            called, plain_calls(item.sample.calls) or _parsed(item.sample.reference)
        )

    def _compare(self, got: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> Score:
        missing, extra = _less(wanted, got, self._key), _less(got, wanted, self._key)
        said = [f"not called: {', '.join(missing)}"] if missing else []
        said += [f"called besides: {', '.join(extra)}"] if extra else []
        right = not said
        return Score(
            value=float(right),
            passed=right,
            reason="; ".join(said) or ("the same calls" if wanted else "rightly no call"),
        )

    def _key(self, call: dict[str, Any]) -> str:
        seen = call if self.arguments else {"name": call.get("name")}
        return json.dumps(seen, sort_keys=True)


def _parsed(text: str) -> list[dict[str, Any]]:
    """The calls that a text is; none where it is no call."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(found, dict):
        found = [found]
    calls = isinstance(found, list) and all(isinstance(c, dict) and "name" in c for c in found)
    return found if calls else []


def _less(some: list[dict[str, Any]], others: list[dict[str, Any]], key: Any) -> list[str]:
    """Names of the calls of `some` that `others` lack, counting repeated ones."""
    left = [key(call) for call in others]
    lacking = []
    for call in some:
        if key(call) in left:
            left.remove(key(call))
        else:
            lacking.append(str(call.get("name")))
    return lacking
