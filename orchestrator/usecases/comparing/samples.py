"""The rows of a comparison: read, and held against training, which has none of them nor nearly."""

from __future__ import annotations

import hashlib
import random
from array import array
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.domain.canonical import canonical, canonical_chat
from orchestrator.domain.comparing.sample import Sample, text_of
from orchestrator.domain.errors import DatasetInvalid
from orchestrator.usecases.comparing.near_rows import Near, NearRows
from orchestrator.usecases.comparing.sample_file import By, SampleFile, some_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

# Bytes by which two rows are told apart: two of a million rows are mistaken once in thirty million runs.
_MARK = 8


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """The samples of one test file that are asked.

    Attributes:
        samples: in the order of the file.
        digest: SHA-256 over prompts and references.
        leaked: rows that training has too; left out unless `leakage_allowed`.
        repeated: rows that occurred before in the file; left out.
        near: rows that nearly repeat a training row; left out where `near_dropped`.
    """

    samples: Sequence[Sample]
    digest: str
    leaked: int = 0
    leakage_allowed: bool = False
    repeated: int = 0
    near: Sequence[Near] = ()
    near_dropped: bool = False

    @cached_property
    def calls_tools(self) -> bool:
        """Whether any row should be answered by calling a tool."""
        return any(sample.calls for sample in self.samples)

    def clean(self, training: Sequence[Sample]) -> Sequence[Sample]:
        """The training rows that no test row nearly repeats: those that examples may come from."""
        alike = {found.training for found in self.near}
        return _but(training, alike)


def read_samples(
    path: Path, *, slice_by: str | None = None, group_by: str | None = None
) -> Sequence[Sample]:
    """Every row of a chat JSONL file: the last assistant message is the reference.

    Args:
        path: the file.
        slice_by: name of a field of the row, or of its `metadata`, that names its slice.
        group_by: the same for the group of rows that depend on each other.

    Raises:
        DatasetInvalid: a row that is no example, with its line.
    """
    found, values = SampleFile.read(path, By(slice_by, group_by))
    if not found:
        raise DatasetInvalid(f"{path} holds no rows.")
    return values or found


def select(
    samples: Sequence[Sample],
    training: Sequence[Sample],
    *,
    allow_leakage: bool = False,
    drop_near: bool = False,
    limit: int | None = None,
    seed: int = 0,
) -> SampleSet:
    """Leave out repeated rows and those that training has, then draw `limit` of the rest.

    Args:
        samples: the test rows.
        training: the training rows.
        allow_leakage: keep rows whose user text occurs in training.
        drop_near: leave out rows that nearly repeat a training row.
        limit: most rows to keep, drawn with `seed`.
        seed: of the draw.

    Raises:
        DatasetInvalid: nothing is left.
    """
    found = _sift(samples, training, allow_leakage=allow_leakage, drop_near=drop_near)
    if not found.kept:
        raise DatasetInvalid(
            f"All {len(samples)} test rows occur in training, so they measure memory and not skill.",
            hint="hold rows out with: ftctl split DATA --test 0.2",
        )
    places, digest = found.kept, found.digest
    if limit is not None and limit < len(places):
        drawn = sorted(random.Random(seed).sample(range(len(places)), limit))
        places = array("L", [places[index] for index in drawn])
        digest = _digest(some_of(samples, places))
    kept = some_of(samples, places)
    return SampleSet(
        samples=kept,
        digest=digest,
        leaked=found.leaked,
        leakage_allowed=allow_leakage,
        repeated=found.repeated,
        near=found.near if drop_near else _of_those(found.near, kept),
        near_dropped=drop_near,
    )


def said(sample: Sample) -> str:
    """Everything the user says, as it is compared for leakage: case and white space aside."""
    texts = [text_of(m) for m in sample.messages if m.get("role") == "user"]
    return " ".join(" ".join(texts).casefold().split())


@dataclass
class _Sifted:
    """What is left of the rows, by place, and why others are not."""

    kept: array[int]
    near: list[Near]
    digest: str = ""
    leaked: int = 0
    repeated: int = 0


def _sift(
    samples: Sequence[Sample], training: Sequence[Sample], *, allow_leakage: bool, drop_near: bool
) -> _Sifted:
    """One pass over the training rows, one over the samples; texts are not kept."""
    known: set[bytes] = set()
    index = NearRows(_remembered(training, known))
    seen: set[bytes] = set()
    found, total = _Sifted(array("L"), []), _Total()
    for place, sample in enumerate(samples):
        text = _canonical(sample)
        mark, told = _mark(text), said(sample)
        if mark in seen:
            found.repeated += 1
            continue
        seen.add(mark)
        if _mark(told) in known:
            found.leaked += 1
            if not allow_leakage:
                continue
        near = index.alike(sample.row, told)
        if near is not None:
            found.near.append(near)
            if drop_near:
                continue
        found.kept.append(place)
        total.add(text)
    found.digest = total.hexdigest()
    return found


def _remembered(training: Iterable[Sample], known: set[bytes]) -> Iterator[tuple[int, str]]:
    for example in training:
        told = said(example)
        known.add(_mark(told))
        yield example.row, told


def _mark(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_MARK).digest()


class _Total:
    """SHA-256 of a list in canonical JSON, entry by entry."""

    def __init__(self) -> None:
        self._hash, self._before = hashlib.sha256(b"["), b""

    def add(self, entry: str) -> None:
        self._hash.update(self._before + entry.encode("ascii"))
        self._before = b","

    def hexdigest(self) -> str:
        whole = self._hash.copy()
        whole.update(b"]")
        return whole.hexdigest()


def _digest(samples: Iterable[Sample]) -> str:
    total = _Total()
    for sample in samples:
        total.add(_canonical(sample))
    return total.hexdigest()


def _canonical(sample: Sample) -> str:
    return f"[{canonical_chat(sample.messages)},{canonical(sample.reference)}]"


def _of_those(near: Sequence[Near], kept: Sequence[Sample]) -> list[Near]:
    if not near:
        return []
    rows = {sample.row for sample in kept}
    return [found for found in near if found.row in rows]


def _but(samples: Sequence[Sample], rows: set[int]) -> Sequence[Sample]:
    if not rows:
        return samples
    return some_of(samples, [p for p, sample in enumerate(samples) if sample.row not in rows])
