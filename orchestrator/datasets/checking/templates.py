"""What stands around the texts of plain rows, byte by byte.

Most files are written by one program that leaves the same spaces everywhere. Where a block is
exactly what such a program writes around these texts, its form is proved at one comparison.
"""

from __future__ import annotations

import json
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from orchestrator.datasets.checking.outlines import (
    ROLES,
    Assistant,
    Developer,
    System,
    User,
)
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARK = "\0"
_MOST_REMEMBERED = 1000


class Template(dict[tuple[type, ...], "tuple[bytes, ...] | None"]):
    """Of each order of turns, what comes before each of its texts; None where it is not right."""

    def __init__(
        self, method: Method, roles: frozenset[str] | None, *, spaced: bool, end: bytes
    ) -> None:
        """Start with no order known.

        Args:
            method: what the rows are for.
            roles: that the target takes; None where it names none.
            spaced: with a space after every comma and colon, or with none.
            end: of a line.
        """
        super().__init__()
        self._method = method
        self._first = {
            role for role in (System, Developer) if roles is None or ROLES[role] in roles
        }
        self._separators = (", ", ": ") if spaced else (",", ":")
        self._tail = b"}]}" + end

    def __missing__(self, kinds: tuple[type, ...]) -> tuple[bytes, ...] | None:
        """What comes before the texts of an order that was not seen before."""
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        self[kinds] = self._around(kinds) if self._is_in_order(kinds) else None
        return self[kinds]

    def before(self, turns: Sequence[Sequence[Any]]) -> list[tuple[bytes, ...]] | None:
        """What comes before the texts of each row; None where turns are not in order."""
        known = [self[kinds] for kinds in map(tuple, map(map, repeat(type), turns))]
        return None if None in known else known  # type: ignore[return-value]

    def fits(
        self, before: Sequence[tuple[bytes, ...]], contents: Sequence[Any], block: bytes
    ) -> bool:
        """Whether a block holds these texts and what comes before them, and nothing else."""
        if UNSET in contents:
            return False
        pieces = [b""] * (2 * len(contents))
        pieces[::2] = chain.from_iterable(before)
        pieces[1::2] = contents
        # A row begins where the one before it ends.
        pieces[0] = pieces[0][len(self._tail) :]
        return b"".join((*pieces, self._tail)) == block

    def _is_in_order(self, kinds: tuple[type, ...]) -> bool:
        asked = kinds[:-2] if self._method is Method.DPO else kinds
        said = asked[1:] if asked[0] in self._first else asked
        if not said or set(said[::2]) != {User} or not set(said[1::2]) <= {Assistant}:
            return False
        return said[-1] is (Assistant if self._method is Method.SUPERVISED else User)

    def _around(self, kinds: tuple[type, ...]) -> tuple[bytes, ...]:
        said = [{"role": ROLES[kind], "content": _MARK} for kind in kinds]
        row: dict[str, Any] = {"messages": said}
        if self._method is Method.DPO:
            row = {
                "input": {"messages": said[:-2]},
                "preferred_output": said[-2:-1],
                "non_preferred_output": said[-1:],
            }
        written = json.dumps(row, separators=self._separators)
        first, *more = written.encode().split(json.dumps(_MARK).encode())[:-1]
        return self._tail + first, *more
