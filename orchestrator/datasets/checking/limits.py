"""What a target takes, read from the dated limits file."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.findings.finding import Severity
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.job import Method
from orchestrator.resources import data

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMITS_FILE = "limits.2026-11-20.json"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The numbers one target checks a file against; None where it names none.

    Attributes:
        min_rows: fewest examples.
        max_rows: most examples of a training file, for the method asked for.
        max_validation_rows: most examples of a validation file.
        max_file_bytes: size of the upload, in bytes.
        max_example_tokens: longest example that is read whole, in tokens.
        max_images_per_row: 0 where images are not taken.
        roles: whose messages may stand in a prompt or a chat; None where the target names none.
        reinforcement_pause_usd: at what cost the host pauses a reinforcement job by itself.
        severities: code → the target's own severity.
    """

    target: str
    min_rows: int
    max_rows: int | None
    max_validation_rows: int | None
    max_file_bytes: int | None
    max_example_tokens: int | None
    max_images_per_row: int | None
    roles: frozenset[str] | None
    reinforcement_pause_usd: float | None
    severities: Mapping[str, Severity]


@functools.cache
def limits_of(target: str, method: Method = Method.SUPERVISED) -> Limits:
    """The limits of a target.

    Args:
        target: one of `targets()`.
        method: reinforcement has limits of its own.

    Raises:
        UsageError: no such target.
    """
    if target not in targets():
        raise UsageError(
            f"There are no rules for the target {target!r}.",
            hint=f"--for {'|'.join(targets())}; compatible is for any other host",
        )
    numbers = _numbers(target)
    reinforcement = method is Method.REINFORCEMENT
    images = "max_images_per_row" + ("_dpo" if method is Method.DPO else "")
    roles = numbers["roles"]["value"]
    return Limits(
        target=target,
        min_rows=numbers["min_rows"]["value"],
        max_rows=numbers["max_rows_reinforcement" if reinforcement else "max_rows"]["value"],
        max_validation_rows=(
            numbers["max_validation_rows_reinforcement"]["value"] if reinforcement else None
        ),
        max_file_bytes=numbers["max_file_bytes"]["value"],
        max_example_tokens=numbers["max_example_tokens"]["value"],
        max_images_per_row=numbers[images]["value"],
        roles=None if roles is None else frozenset(roles[method.value]),
        reinforcement_pause_usd=numbers["reinforcement_pause_usd"]["value"],
        severities={code: Severity(word) for code, word in numbers["severities"].items()},
    )


def targets() -> list[str]:
    """Every target there are rules for."""
    return list(_load()["targets"])


def _numbers(target: str) -> dict[str, Any]:
    """What is known of a target, and for the rest of the one it is like."""
    own: dict[str, Any] = _load()["targets"][target]
    return {**_numbers(own["like"]), **own} if "like" in own else own


@functools.cache
def _load() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(data(LIMITS_FILE).read_text(encoding="utf-8"))
    return loaded
