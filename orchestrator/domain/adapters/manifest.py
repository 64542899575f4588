"""The manifest of a version: what it is, where it comes from, how it answered."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1


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
        return as_file(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"format": FORMAT, **asdict(self), "created_at": self.created_at.isoformat()}

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: it is no manifest, or of a later format.
        """
        plain = read_object(content)
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


def sha256(content: bytes) -> str:
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def as_file(plain: Mapping[str, Any]) -> bytes:
    """JSON that a person can read, the same for the same values."""
    text = json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"


def read_object(content: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: it is none.
    """
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - of the file
    return value
