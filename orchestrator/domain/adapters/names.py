"""What tasks, versions and aliases of adapters may be called, and how their files are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAMPION = "champion"
CANDIDATE = "candidate"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"
MANIFEST = "ftctl.json"
FILES = (WEIGHTS, CONFIG, CARD, MANIFEST)
MOVES = "moves"

_TASK = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VERSION = re.compile(r"v[1-9][0-9]{0,8}")
# Names that the worker gives to base models.
_TAKEN = frozenset({"tiny", "smollm2"})


class Address(NamedTuple):
    """A task, and the version or alias that was named; None for the champion."""

    task: str
    wanted: str | None


def parse_address(text: str) -> Address:
    """`TASK`, `TASK@ALIAS` or `TASK@vN`, taken apart.

    Raises:
        UsageError: it is none of these.
    """
    task, at, wanted = text.partition("@")
    check_task(task)
    if at and not (is_version(wanted) or _ALIAS.fullmatch(wanted)):
        raise UsageError(
            f"'{text[:80]}' names no version and no alias.", hint="TASK, TASK@champion or TASK@v2"
        )
    return Address(task, wanted or None)


def check_task(name: str) -> str:
    """The name of a task, if it is one.

    Raises:
        UsageError: it is not.
    """
    if _TASK.fullmatch(name) is None or name in _TAKEN:
        raise UsageError(
            f"'{name[:80]}' cannot be the name of a task: small letters, digits, . _ - and at most"
            " 64 of them; no name of a base model.",
            hint="--task tickets",
        )
    return name


def check_alias(name: str) -> str:
    """An alias, if it is one.

    Raises:
        UsageError: it is not.
    """
    if _ALIAS.fullmatch(name) is None or is_version(name):
        raise UsageError(f"'{name[:80]}' cannot be an alias.", hint="--to champion")
    return name


def is_task(name: str) -> bool:
    """Whether a folder of that name holds a task."""
    return _TASK.fullmatch(name) is not None


def may_move(model: str) -> bool:
    """Whether a model's name may be a task or an alias of one, which mean now this, now that."""
    task, _, wanted = model.partition("@")
    return is_task(task) and task not in _TAKEN and not is_version(wanted)


def is_version(name: str) -> bool:
    """Whether it is the number of a version."""
    return _VERSION.fullmatch(name) is not None


def by_number(versions: Iterator[str]) -> list[str]:
    """Those that are versions, oldest first."""
    return sorted(filter(is_version, versions), key=lambda version: int(version[1:]))
