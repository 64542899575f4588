"""How models are measured, in the words of a person: what a command and a spec file both say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Arms, grader, margin and how they are asked; not on which rows, nor for whose money.

    Attributes:
        arms: as they are typed; the usual ones when empty.
        candidates: arms that are to prove themselves; `make_arms` knows the usual ones.
        baseline: the arm that the verdict is about; the best one when None.
        margin: in points; with it the gate asks for parity, without it for improvement.
        source: the arm that parity is measured against.
        max_missing: in percent.
    """

    arms: Sequence[str] = ()
    candidates: Sequence[str] = ()
    baseline: str | None = None
    task: str | None = None
    grader: str | None = None
    margin: float | None = None
    source: str | None = None
    limit: int | None = None
    slice_by: str | None = None
    group_by: str | None = None
    repeats: int = 1
    temperature: float = 0.0
    human: Path | None = None
    seed: int = 0
    max_tokens: int | None = None
    max_missing: float = 1.0
    concurrency: int = 8
    allow_leakage: bool = False
    drop_near: bool = False
