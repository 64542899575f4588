"""From JSONL rows to samples, and the check that training has none of them, nor nearly."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.domain.canonical import digest
from orchestrator.domain.chat import calls_text
from orchestrator.domain.comparing.sample import Sample, text_of
from orchestrator.domain.errors import DatasetInvalid
from orchestrator.usecases.comparing.near_rows import Near, NearRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_CONVERSATION = frozenset(
    {"messages", "tools", "input", "preferred_output", "non_preferred_output"}
)


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

    def clean(self, training: Sequence[Sample]) -> list[Sample]:
        """The training rows that no test row nearly repeats: those that examples may come from."""
        alike = {found.training for found in self.near}
        return [example for example in training if example.row not in alike]


def read_samples(
    path: Path, *, slice_by: str | None = None, group_by: str | None = None
) -> list[Sample]:
    """Every row of a chat JSONL file: the last assistant message is the reference.

    Args:
        path: the file.
        slice_by: name of a field of the row, or of its `metadata`, that names its slice.
        group_by: the same for the group of rows that depend on each other.

    Raises:
        DatasetInvalid: a row that is no example, with its line.
    """
    found = [_sample(path, number, row, (slice_by, group_by)) for number, row in _rows(path)]
    if group_by is not None and (bare := [s.row for s in found if s.group is None]):
        raise DatasetInvalid(
            f"{len(bare)} rows of {path} have no '{group_by}' to group by, first in line {bare[0]}."
        )
    if not found:
        raise DatasetInvalid(f"{path} holds no rows.")
    return found


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
    known = {said(example) for example in training}
    seen: set[str] = set()
    kept, leaked, repeated = [], 0, 0
    for sample in samples:
        key = digest([list(sample.messages), sample.reference])
        if key in seen:
            repeated += 1
            continue
        seen.add(key)
        if said(sample) in known:
            leaked += 1
            if not allow_leakage:
                continue
        kept.append(sample)
    near = _near(kept, training)
    if drop_near and near:
        alike = {found.row for found in near}
        kept = [sample for sample in kept if sample.row not in alike]
    if not kept:
        raise DatasetInvalid(
            f"All {len(samples)} test rows occur in training, so they measure memory and not skill.",
            hint="hold rows out with: ftctl split DATA --test 0.2",
        )
    if limit is not None and limit < len(kept):
        drawn = sorted(random.Random(seed).sample(range(len(kept)), limit))
        kept = [kept[index] for index in drawn]
    return SampleSet(
        samples=kept,
        digest=digest([[list(s.messages), s.reference] for s in kept]),
        leaked=leaked,
        leakage_allowed=allow_leakage,
        repeated=repeated,
        near=near if drop_near else _of_those(near, kept),
        near_dropped=drop_near,
    )


def said(sample: Sample) -> str:
    """Everything the user says, as it is compared for leakage: case and white space aside."""
    texts = [text_of(m) for m in sample.messages if m.get("role") == "user"]
    return " ".join(" ".join(texts).casefold().split())


def _near(samples: Sequence[Sample], training: Sequence[Sample]) -> list[Near]:
    index = NearRows((example.row, said(example)) for example in training)
    found = (index.alike(sample.row, said(sample)) for sample in samples)
    return [near for near in found if near is not None]


def _of_those(near: Sequence[Near], kept: Sequence[Sample]) -> list[Near]:
    rows = {sample.row for sample in kept}
    return [found for found in near if found.row in rows]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", errors="strict", newline="\n") as lines:
        number = 0
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _row(path, number, line)
        except UnicodeDecodeError as error:
            raise DatasetInvalid(
                f"{path} is not UTF-8 after line {number}.", hint=f"ftctl convert {path}"
            ) from error


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _invalid(path, number, "is not JSON") from error
    if not isinstance(row, dict):
        raise _invalid(path, number, "is not a JSON object")
    return row


def _sample(
    path: Path, number: int, row: Mapping[str, Any], by: tuple[str | None, str | None]
) -> Sample:
    messages = row.get("messages")
    if messages is None and isinstance(row.get("input"), dict):
        # A preference row: the preferred answer is what it teaches.
        messages = [*_list(row["input"].get("messages")), *_list(row.get("preferred_output"))]
    messages = _list(messages)
    if not messages or not all(isinstance(m, dict) for m in messages):
        raise _invalid(path, number, "has no chat messages")
    last = messages[-1]
    if last.get("role") != "assistant" or len(messages) < 2:
        raise _invalid(path, number, "does not end with an answer of the assistant")
    tools = row.get("tools")
    return Sample(
        row=number,
        messages=[_prompt_message(m) for m in messages[:-1]],
        reference=text_of(last) or calls_text(last.get("tool_calls")),
        slice=_field(row, by[0]),
        group=_field(row, by[1]),
        tools=tools if isinstance(tools, list) else None,
        fields={name: value for name, value in row.items() if name not in _CONVERSATION},
    )


def _prompt_message(message: Mapping[str, Any]) -> dict[str, Any]:
    # `weight` is a word of training files; chat endpoints refuse it.
    return {key: value for key, value in message.items() if key != "weight"}


def _field(row: Mapping[str, Any], name: str | None) -> str | None:
    if name is None:
        return None
    metadata = row.get("metadata")
    value = row.get(name, metadata.get(name) if isinstance(metadata, dict) else None)
    return None if value is None else str(value)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _invalid(path: Path, number: int, problem: str) -> DatasetInvalid:
    return DatasetInvalid(
        f"Line {number} of {path} {problem}.", hint=f"ftctl validate {path}  or  ftctl convert"
    )
