"""An adapter in a repository: versions that never change, aliases that move, and who moved them.

A task holds versions `v1`, `v2`, ... and a list of moves. A move is written once and never again, so
the list is the audit trail and, folded, the state: what an alias means is what the last move of it
says. Two who move at once both write the move of the same number; one of them gets a Conflict.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

CHAMPION = "champion"
CANDIDATE = "candidate"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
CARD = "README.md"
MANIFEST = "ftctl.json"
FILES = (WEIGHTS, CONFIG, CARD, MANIFEST)
MOVES = "moves"
FORMAT = 1

_TASK = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VERSION = re.compile(r"v[1-9][0-9]{0,8}")
# Names that the worker gives to base models.
_TAKEN = frozenset({"tiny", "smollm2"})


class Action(StrEnum):
    """What a move does."""

    PROMOTE = "promote"  #: an alias gets a version
    ROLLBACK = "rollback"  #: an alias gets the version back that it had before
    REMOVE = "remove"  #: a version is gone; its number is not given again


class Address(NamedTuple):
    """A task, and the version or alias that was named; None for the champion."""

    task: str
    wanted: str | None


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
        return _as_file(plain)

    @classmethod
    def from_bytes(cls, content: bytes) -> Move:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: it is no move.
        """
        plain = _object(content)
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


@dataclass(frozen=True, kw_only=True)
class FileFact:
    """A file of a version: SHA-256 in hex, and size."""

    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A prompt that was asked greedily when the version was registered, and what came.

    Attributes:
        logprobs: of each token that was answered, the likeliest few as (token, nats), best first.
    """

    messages: Sequence[Mapping[str, Any]]
    answer: str
    logprobs: Sequence[Sequence[Sequence[Any]]] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is known of a version; the content of `ftctl.json`.

    Attributes:
        digest: SHA-256 over weights and configuration: what the version is.
        files: every other file of the version.
        base_model: `name` and `revision` (a commit, or a digest of the weights).
        dataset: digests of the splits it was trained on.
        metrics: what a comparison found: id, test, metric, verdict, arms.
        probes: how it answered when it was registered.
    """

    task: str
    version: str
    digest: str
    files: Mapping[str, FileFact]
    base_model: Mapping[str, str | None]
    created_at: datetime
    by: str
    licence: str | None = None
    method: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, str | None] = field(default_factory=dict)
    job: Mapping[str, str | None] | None = None
    metrics: Mapping[str, Any] | None = None
    probes: Sequence[Probe] = ()

    def to_bytes(self) -> bytes:
        """The file's content."""
        return _as_file(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"format": FORMAT, **asdict(self), "created_at": self.created_at.isoformat()}

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: it is no manifest, or of a later format.
        """
        plain = _object(content)
        if plain.get("format") != FORMAT:
            raise ValueError(f"its format is {plain.get('format')!r}, not {FORMAT}")
        try:
            known = {name: plain[name] for name in cls.__dataclass_fields__ if name in plain}
            known["files"] = {name: FileFact(**fact) for name, fact in plain["files"].items()}
            known["probes"] = tuple(Probe(**probe) for probe in plain["probes"])
            known["created_at"] = datetime.fromisoformat(plain["created_at"])
            return cls(**known)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no manifest: {error}") from error


class AdapterRepo(Protocol):
    """Where adapters are kept. Every change is whole or not at all.

    Attributes:
        where: the folder or address, for people.
    """

    where: str

    def tasks(self) -> Sequence[str]:
        """The names of all tasks, sorted."""
        ...

    def history(self, task: str) -> History:
        """A task as it stands; an empty one where there is none."""
        ...

    def manifest(self, history: History, version: str) -> bytes:
        """The manifest of a version, as it lies there."""
        ...

    def add_version(self, history: History, version: str, files: Path) -> None:
        """Add the files in a folder as a version.

        Raises:
            Conflict: another process gave that number away first.
        """
        ...

    def add_move(self, history: History, move: Move) -> None:
        """Append to the trail.

        Raises:
            Conflict: another process moved since the history was read.
        """
        ...

    def drop(self, history: History, version: str) -> None:
        """Take the files of a removed version away; again changes nothing."""
        ...

    def fetch(self, history: History, version: str, folder: Path) -> None:
        """Put the files of a version into an empty folder; they are to be verified by the caller."""
        ...

    def place(self, task: str, version: str) -> Path | None:
        """The folder on this machine where a version lies; None where it lies elsewhere."""
        ...


@runtime_checkable
class AdapterHost(Protocol):
    """A provider that gives its adapters away."""

    def describe_adapter(self, model: str) -> Mapping[str, Any]:
        """Its files with digests, and `base_model` with name and revision."""
        ...

    def fetch_adapter(self, model: str, folder: Path) -> None:
        """Put the files of a tuned model into a folder, their digests checked."""
        ...


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


def is_version(name: str) -> bool:
    """Whether it is the number of a version."""
    return _VERSION.fullmatch(name) is not None


def by_number(versions: Iterator[str]) -> list[str]:
    """Those that are versions, oldest first."""
    return sorted(filter(is_version, versions), key=lambda version: int(version[1:]))


def sha256(content: bytes) -> str:
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def _as_file(plain: Mapping[str, Any]) -> bytes:
    text = json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - of the file
    return value
