"""What is asked of a model and what it answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One request for one answer.

    Attributes:
        model: base model, tuned model or deployment, in the provider's words.
        messages: chat messages in OpenAI's shape.
        max_tokens: most tokens to answer with.
        temperature: 0 takes the likeliest token; None says nothing, for models that refuse it.
        top_logprobs: report so many likely tokens at each place; None for none at all.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    max_tokens: int = 256
    temperature: float | None = 0.0
    seed: int | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChatAnswer:
    """One answer, with what it used.

    Attributes:
        text: the assistant's text; empty when it only called tools.
        latency: seconds from sending to the whole answer.
        raw: the provider's answer as it came.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    latency: float
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    tool_calls: Sequence[Mapping[str, Any]] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """What is graded: the text, or the tool calls as one line of JSON."""
        return self.text or calls_text(list(self.tool_calls))


def calls_text(calls: object) -> str:
    """Tool calls as one line of JSON, so that they compare as text; empty without any."""
    found = plain_calls(calls)
    return json.dumps(found, sort_keys=True, ensure_ascii=False) if found else ""


def plain_calls(calls: object) -> list[dict[str, Any]]:
    """Name and arguments of each tool call, arguments as values where they are JSON."""
    given = calls if isinstance(calls, list | tuple) else ()
    return [_plain_call(call) for call in given if isinstance(call, dict)]


def _plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments")
    try:
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        pass
    return {"name": function.get("name"), "arguments": arguments}
