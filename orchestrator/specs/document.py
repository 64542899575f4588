"""A spec file as it was read: plain values, and where in the file each of them stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Keys and indices from the top of a document to one of its values.
Steps: TypeAlias = "tuple[str | int, ...]"


class Place(NamedTuple):
    """Where something stands; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something wrong in a spec file.

    Attributes:
        steps: from the top of the document to the value.
        fix: what to write instead; None when the message says it.
    """

    message: str
    fix: str | None = None
    steps: Steps = ()
    place: Place | None = None

    @property
    def pointer(self) -> str:
        """The value as a JSON pointer (RFC 6901)."""
        return "".join(f"/{str(s).replace('~', '~0').replace('/', '~1')}" for s in self.steps)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        line, column = self.place or (None, None)
        return {
            "line": line,
            "column": column,
            "pointer": self.pointer,
            "message": self.message,
            "fix": self.fix,
        }

    def line_of(self, path: Path) -> str:
        """For a person, with the place as editors and compilers write it."""
        where = f"{path}:{self.place.line}:{self.place.column}" if self.place else str(path)
        return f"{where}: {self.message}" + (f"\n    try: {self.fix}" if self.fix else "")


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a file holds.

    Attributes:
        values: where each value begins; `keys` where each key does.
        mistakes: that reading alone found, such as a key that stands there twice.
    """

    path: Path
    value: Any
    values: Mapping[Steps, Place] = field(default_factory=dict)
    keys: Mapping[Steps, Place] = field(default_factory=dict)
    mistakes: Sequence[Mistake] = ()

    def mistake(self, steps: Steps, message: str, fix: str | None = None) -> Mistake:
        """A mistake at a value, or at the nearest thing around it that has a place."""
        return Mistake(message=message, fix=fix, steps=steps, place=self.place(steps))

    def mistake_at_key(self, steps: Steps, message: str, fix: str | None = None) -> Mistake:
        """A mistake at a key."""
        place = self.keys.get(steps) or self.place(steps)
        return Mistake(message=message, fix=fix, steps=steps, place=place)

    def place(self, steps: Steps) -> Place | None:
        """Where a value stands; of what is around it when it is not there."""
        for length in range(len(steps), -1, -1):
            part = steps[:length]
            found = self.values.get(part) or self.keys.get(part)
            if found is not None:
                return found
        return None


class SpecInvalid(UsageError):
    """The spec file has mistakes; nothing was sent."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        """Say all of them, each with its place."""
        self.path, self.mistakes = path, tuple(mistakes)
        count = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = "\n".join(f"  {mistake.line_of(path)}" for mistake in mistakes)
        super().__init__(f"{path} has {count}; nothing was sent.\n{lines}")
