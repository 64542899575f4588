"""How an arm is named on the command line: `few-shot:8`, `rag:docs/`, `base@openai:gpt-6-luna`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.domain.errors import UsageError

#: What an arm can start with, and whether that is the model itself or a prompt around the base.
HEADS = {
    "base": "the base model, zero-shot",
    "model": "any model of any provider: model:PROFILE/MODEL",
    "tuned": "the tuned model, zero-shot",
    "successor": "the provider's cheapest current base",
    "few-shot": "examples from the training rows: few-shot:8, few-shot:auto",
    "rag": "passages from a folder or JSONL: rag:docs/",
    "recorded": "answers frozen by ftctl record: recorded:NAME",
    "classical": "TF-IDF and logistic regression on this machine",
    "again": "another arm asked a second time: again, again:ARM",
}
_PROMPTS = ("few-shot", "rag")
_HOST = re.compile(r"^(?P<what>.+?)@(?P<profile>[\w.-]+)(?::(?P<model>.+))?$", re.DOTALL)
# `tuned:tickets@v2` is a version of an adapter, not a profile called v2.
_NUMBERED = re.compile(r"^\w+:[^@]+@v[1-9][0-9]*$")
_MORE = re.compile(r"\+(?=(?:few-shot|rag):)")


class Part(NamedTuple):
    """A prompt around a model: few-shot or rag, with its argument."""

    kind: str
    argument: str


@dataclass(frozen=True, kw_only=True)
class ArmSpec:
    """An arm as it was typed, taken apart.

    Attributes:
        head: base, model, tuned, successor, recorded, classical or again.
        argument: what stands after the head's colon: a model, a recording, an arm.
        parts: prompts around the model, in the order given.
        profile: who answers; the job's provider when None.
        model: in that provider's words.
    """

    name: str
    head: str
    argument: str | None
    parts: tuple[Part, ...] = ()
    profile: str | None = None
    model: str | None = None


def parse_arm(name: str) -> ArmSpec:
    """Take an arm's name apart.

    Raises:
        UsageError: it is no arm.
    """
    if name.startswith("again:"):
        return ArmSpec(name=name, head="again", argument=name.removeprefix("again:"))
    if name.startswith("model:"):
        return _any_model(name)
    hosted = None if _NUMBERED.search(name) else _HOST.match(name)
    what = hosted.group("what") if hosted else name
    first, *rest = _MORE.split(what)
    head, _, argument = first.partition(":")
    if head not in HEADS:
        raise UsageError(
            f"There is no arm '{name}'; known are {', '.join(sorted(HEADS))}.",
            hint="--arm few-shot:6",
        )
    parts = [_part(name, piece) for piece in rest]
    if head in _PROMPTS:
        parts.insert(0, _part(name, first))
        head, argument = "base", ""
    if parts and head in {"recorded", "classical", "again"}:
        raise UsageError(f"'{name}' is no model that takes examples or passages.")
    return ArmSpec(
        name=name,
        head=head,
        argument=argument or None,
        parts=tuple(parts),
        profile=hosted.group("profile") if hosted else None,
        model=hosted.group("model") if hosted else None,
    )


def _any_model(name: str) -> ArmSpec:
    first, *rest = _MORE.split(name)
    profile, _, model = first.removeprefix("model:").partition("/")
    if not profile or not model:
        raise UsageError(
            f"'{name}' does not say whose model it is.", hint="--arm model:openai/gpt-6-luna"
        )
    return ArmSpec(
        name=name,
        head="model",
        argument=model,
        parts=tuple(_part(name, piece) for piece in rest),
        profile=profile,
        model=model,
    )


def _part(name: str, piece: str) -> Part:
    kind, _, argument = piece.partition(":")
    if kind == "few-shot" and argument != "auto":
        whole = argument.isascii() and argument.isdigit() and int(argument) > 0
        if not whole:
            raise UsageError(f"'{name}' does not say how many examples.", hint="--arm few-shot:6")
    if kind == "rag" and not argument:
        raise UsageError(f"'{name}' does not say where the passages are.", hint="--arm rag:docs/")
    return Part(kind, argument)
