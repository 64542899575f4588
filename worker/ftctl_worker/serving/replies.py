"""What the engine says to a request: pieces of text, and an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Delta", "Done", "Failed", "Reply", "TokenLogprob"]


@dataclass(frozen=True)
class TokenLogprob:
    """A token, its log probability in nats, and the likeliest tokens at its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Delta:
    """The next piece of text."""

    text: str
    tokens: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Done:
    """The end of an answer, with the calls of tools it holds; all counts in tokens."""

    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    calls: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Failed:
    """No answer, and why; ``param`` is the part of the request to mend."""

    code: str
    message: str
    param: str = "messages"


Reply = Delta | Done | Failed
