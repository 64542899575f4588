"""Probes: what an adapter answered when it was registered, and whether it still does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.domain.adapters.manifest import Probe
from orchestrator.domain.chat import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.chat import ChatAnswer
    from orchestrator.domain.provider import ChatHost

    Messages = Sequence[Mapping[str, Any]]

#: Largest change of a log probability, in nats, that other hardware and batches may bring.
TOLERANCE = 0.05
MOST_PROBES = 16
_TOKENS = 24
_TOP = 3
_PROMPTS = (
    "Where is my order 4711?",
    "My invoice is wrong. Please help.",
    "Answer with one word: blue or red?",
    'Write {"name": "Ada", "age": 36} with the age one higher.',
)


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """A probe that was asked again.

    Attributes:
        shift: largest change of a log probability in nats; None where there was nothing to compare.
        note: where and how the answers part.
    """

    asked: str
    was: str
    now: str
    same: bool
    shift: float | None = None
    note: str = ""


def default_prompts() -> list[Messages]:
    """Prompts that hold nobody's data."""
    return [[{"role": "user", "content": text}] for text in _PROMPTS]


def take(chat: ChatHost, model: str, prompts: Sequence[Messages]) -> tuple[Probe, ...]:
    """Ask each prompt greedily, and keep the answer with its likeliest tokens."""
    return tuple(_probe(chat, model, messages) for messages in prompts[:MOST_PROBES])


def repeat(
    chat: ChatHost, model: str, probes: Sequence[Probe], tolerance: float = TOLERANCE
) -> list[ProbeResult]:
    """Ask the same again, and say what differs."""
    return [_compared(old, _probe(chat, model, old.messages), tolerance) for old in probes]


def _probe(chat: ChatHost, model: str, messages: Messages) -> Probe:
    request = ChatRequest(
        model=model, messages=messages, max_tokens=_TOKENS, temperature=0.0, top_logprobs=_TOP
    )
    answer = chat.chat(request)
    plain = [dict(message) for message in messages]
    return Probe(messages=plain, answer=answer.said, logprobs=_likely(answer))


def _likely(answer: ChatAnswer) -> list[list[list[Any]]]:
    """For each token the likeliest few, best first; empty where the host does not tell."""
    try:
        content = answer.raw["choices"][0]["logprobs"]["content"]
        return [
            [[top["token"], round(float(top["logprob"]), 4)] for top in token["top_logprobs"]]
            for token in content
        ]
    except (KeyError, IndexError, TypeError, ValueError):
        return []


def _compared(old: Probe, new: Probe, tolerance: float) -> ProbeResult:
    shift = 0.0
    same, note = old.answer == new.answer, ""
    for at, (was, now) in enumerate(zip(old.logprobs, new.logprobs, strict=False)):
        if not was or not now:
            break
        if was[0][0] != now[0][0]:
            same = len(was) > 1 and was[0][1] - was[1][1] <= 2 * tolerance
            kind = "a tie fell the other way" if same else "other words"
            note = f"{kind} from token {at + 1}: {now[0][0]!r} for {was[0][0]!r}"
            break
        shift = max(shift, abs(was[0][1] - now[0][1]))
    if same and shift > tolerance:
        same, note = False, f"a log probability moved by {shift:.3f} nats"
    if not same and not note:
        note = "other words"
    asked = str(old.messages[-1].get("content", ""))[:80] if old.messages else ""
    told = bool(old.logprobs and new.logprobs)
    return ProbeResult(
        asked=asked,
        was=old.answer,
        now=new.answer,
        same=same,
        shift=round(shift, 4) if told else None,
        note=note,
    )
