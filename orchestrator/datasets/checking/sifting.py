"""Which of many pass a test that is cheap for all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What does not pass as a whole is looked at in so many parts, until one is left.
_PARTS = 8


def sifted(numbers: Sequence[int], test: Callable[[Sequence[int]], bool]) -> Sequence[int]:
    """Those numbers that pass: all at once, or some, or each by itself."""
    if not numbers or test(numbers):
        return numbers
    if len(numbers) == 1:
        return ()
    step = -(-len(numbers) // _PARTS)
    parts = (numbers[start : start + step] for start in range(0, len(numbers), step))
    return [number for part in parts for number in sifted(part, test)]
