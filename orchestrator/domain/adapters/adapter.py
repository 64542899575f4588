"""An adapter in a repository: versions that never change, aliases that move, and who moved them.

A task holds versions `v1`, `v2`, ... and a list of moves. A move is written once and never again, so
the list is the audit trail and, folded, the state: what an alias means is what the last move of it
says. Two who move at once both write the move of the same number; one of them gets a Conflict.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from orchestrator.domain.adapters.manifest import as_file, read_object
from orchestrator.domain.adapters.names import CHAMPION, is_version
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Action(StrEnum):
    """What a move does."""

    PROMOTE = "promote"  #: an alias gets a version
    ROLLBACK = "rollback"  #: an alias gets the version back that it had before
    REMOVE = "remove"  #: a version is gone; its number is not given again


@dataclass(frozen=True, kw_only=True)
class Move:
    """One line of the audit trail.

    Attributes:
        number: from 1, without gaps.
        by: the user of the operating system and the machine.
        alias: that moved; None where a version was removed.
        before: the version it had; of a removal, the version that goes.
        after: the version it has now; None for none.
        gate: the comparison that opened the way, or `{"forced": true}`.
        manifest: SHA-256 of the manifest of `after`, so that a changed version is seen.
        previous: SHA-256 of the move before; a changed trail is seen.
    """

    number: int
    at: datetime
    by: str
    action: Action
    alias: str | None = None
    before: str | None = None
    after: str | None = None
    reason: str = ""
    gate: Mapping[str, Any] | None = None
    manifest: str | None = None
    previous: str | None = None

    @property
    def file(self) -> str:
        """Its name in the folder of moves."""
        return f"{self.number:04d}.json"

    def to_bytes(self) -> bytes:
        """The file's content."""
        plain = asdict(self) | {"at": self.at.isoformat()}
        plain["from"], plain["to"] = plain.pop("before"), plain.pop("after")
        return as_file(plain)

    @classmethod
    def from_bytes(cls, content: bytes) -> Move:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: it is no move.
        """
        plain = read_object(content)
        try:
            known = {name: plain[name] for name in cls.__dataclass_fields__ if name in plain}
            known |= {"before": plain["from"], "after": plain["to"]}
            known |= {"action": Action(plain["action"]), "at": datetime.fromisoformat(plain["at"])}
            return cls(**known)
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no move: {error}") from error


@dataclass(frozen=True, kw_only=True)
class History:
    """A task as it stood when it was read.

    Attributes:
        versions: that are there, oldest first; removed ones are not.
        moves: oldest first.
        revision: by which a repository knows that nothing changed since; None where the moves'
            numbers are enough.
    """

    task: str
    versions: Sequence[str] = ()
    moves: Sequence[Move] = ()
    revision: str | None = None
    last_move: str | None = None

    @property
    def removed(self) -> frozenset[str]:
        """Versions that are gone."""
        gone = (move.before for move in self.moves if move.action is Action.REMOVE)
        return frozenset(version for version in gone if version)

    @property
    def aliases(self) -> dict[str, str]:
        """What each alias means now."""
        now: dict[str, str] = {}
        for move in self.moves:
            if move.alias and move.after:
                now[move.alias] = move.after
            elif move.alias:
                now.pop(move.alias, None)
        return now

    @property
    def next_version(self) -> str:
        """The number that no version has or had."""
        used = {int(version[1:]) for version in (*self.versions, *self.removed)}
        return f"v{max(used, default=0) + 1}"

    def before(self, alias: str) -> str | None:
        """The version that a rollback of `alias` goes to: under what was promoted, still there."""
        stack: list[str] = []
        for move in self.moves:
            if move.alias == alias and move.action is Action.PROMOTE and move.after:
                stack.append(move.after)
            elif move.alias == alias and move.action is Action.ROLLBACK:
                while stack and stack[-1] != move.after:
                    stack.pop()
        now = self.aliases.get(alias)
        return next((v for v in reversed(stack) if v != now and v in self.versions), None)

    def resolve(self, wanted: str | None) -> str:
        """The version that an alias or a number means.

        Raises:
            UsageError: none.
        """
        name = wanted or CHAMPION
        version = name if is_version(name) else self.aliases.get(name)
        if version is None:
            known = ", ".join(sorted(self.aliases)) or "none yet"
            raise UsageError(
                f"The task '{self.task}' has no alias '{name}' (aliases: {known}).",
                hint=f"ftctl adapters show {self.task}",
            )
        if version not in self.versions:
            gone = "was removed" if version in self.removed else "does not exist"
            raise UsageError(
                f"{self.task}@{version} {gone}.", hint=f"ftctl adapters show {self.task}"
            )
        return version
