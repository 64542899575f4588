"""Names of models: which base a tuned model was made from, and what a name without a date means."""

from __future__ import annotations

import re

TUNED = "ft:"

_REASONING = re.compile(r"o\d|chatgpt")
_FIRST_WORD = re.compile(r"[a-z]+")
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
# Azure: BASE.ft-<hex>, then a suffix, a checkpoint, or nothing.
_AZURE = re.compile(r"^(?P<base>.+?)\.ft-[0-9a-f]{8,}(?:[-:].*)?$", re.IGNORECASE)


def base_model(name: str) -> str:
    """The base model that a name stands for; a base model's own name comes back as it is.

    Knows `ft:BASE:organization:suffix:id` with or without `:ckpt-step-N` (OpenAI and the worker)
    and `BASE.ft-<hex>[-suffix]` with or without a checkpoint (Azure). An Azure checkpoint that is
    called `ftchkpt-<hex>` names no base; it comes back as it is, and nothing is known of it.
    """
    if name.startswith(TUNED):
        return name.split(":")[1]
    azure = _AZURE.match(name)
    return azure["base"] if azure else name


def is_tuned(name: str) -> bool:
    """Whether a name is that of a tuned model, or of a checkpoint of one."""
    return name.startswith((TUNED, "ftchkpt-")) or _AZURE.match(name) is not None


def family(name: str) -> str:
    """Who made a model, as its name tells: models of one family judge each other kindly.

    `gpt` for gpt-4.1-mini and o4-mini, `qwen` for Qwen/Qwen3-8B, `claude` for claude-x; the first
    word of any other name.
    """
    bare = base_model(name).rsplit("/", 1)[-1].casefold()
    if _REASONING.match(bare):
        return "gpt"
    word = _FIRST_WORD.match(bare)
    return word.group() if word else bare


def canonical_model(name: str) -> str:
    """The name a model is priced under: `ft:BASE` for a tuned one, whatever its whole name."""
    base = base_model(name)
    return name if base == name else TUNED + base


def same_model(listed: str, wanted: str) -> bool:
    """Whether a listed name is the wanted one; a name without a date means the dated model."""
    listed, wanted = listed.casefold(), wanted.casefold()
    return listed == wanted or _DATED.sub("", listed) == wanted
