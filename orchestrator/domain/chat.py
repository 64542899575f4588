"""What is asked of a model and what it answers."""

from __future__ import annotations

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
        temperature: 0 takes the likeliest token.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    tools: Sequence[Mapping[str, Any]] | None = None


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
