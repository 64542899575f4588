"""Cut a dataset into train, validation and test: the same cut for the same seed, on any machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from orchestrator.datasets.content.leaks import folded
from orchestrator.datasets.dialects.conversion import Options, convert_record
from orchestrator.datasets.files.records_of import records_of
from orchestrator.datasets.files.writing import written
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.dataset import Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LONGEST_LABEL = 40
_MOST_LABELS = 50


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Which row goes where.

    Attributes:
        splits: the split of each row, in the order of the file; None where a row is left out.
        counts: split → rows.
        labels: how many answers the rows were balanced by; 0 when answers are not labels.
        groups: sets of rows with the same question, kept together.
    """

    splits: Sequence[Split | None]
    counts: Mapping[Split, int] = field(default_factory=dict)
    labels: int = 0
    groups: int = 0


def cut(
    rows: Sequence[Any],
    sizes: Mapping[Split, float],
    *,
    seed: int = 0,
    group_by: str | None = None,
) -> Cut:
    """Decide for every row where it goes.

    Rows with the same question stay together. Where answers are labels (few and short), every split
    gets its share of each.

    Args:
        rows: the rows, decoded.
        sizes: split → a share (below 1, or exactly 1 with all others below) or a number of rows.
        seed: another seed, another cut.
        group_by: a key of every row; rows with the same value of it stay together, and so do rows
            with the same question. The key is taken out of the rows.

    Raises:
        UsageError: the sizes ask for more rows than there are, or for none.
    """
    quotas = _quotas(len(rows), sizes)
    values = _taken_out(rows, group_by) if group_by is not None else None
    keyed = [_Keyed(index, *_question_and_answer(row)) for index, row in enumerate(rows)]
    labels = _labels(keyed)
    if values is not None:
        keyed = _joined(keyed, values)
    groups: dict[str, list[_Keyed]] = {}
    for row in keyed:
        groups.setdefault(row.question, []).append(row)
    ordered = sorted(
        groups.values(), key=lambda group: _order(group, labels=bool(labels), seed=seed)
    )
    splits = _deal(ordered, quotas, len(rows))
    counts = Counter(split for split in splits if split is not None)
    return Cut(splits=splits, counts=counts, labels=len(labels), groups=len(groups))


def read_rows(path: Path) -> list[Any]:
    """The rows of a JSONL file.

    Raises:
        DatasetInvalid: a line cannot be read.
    """
    return [record.value for record in records_of(path)]


def write_splits(
    rows: Sequence[Any], made: Cut, folder: Path, *, force: bool = False
) -> dict[Split, Path]:
    """Write train.jsonl, validation.jsonl and test.jsonl, those that have rows.

    Args:
        rows: the rows that were cut, in the order of the file.
        made: the cut.
        folder: made if it is not there.
        force: take the place of files that are there.

    Raises:
        UsageError: a file is there already; nothing is written.
    """
    files = {split: folder / f"{split.value}.jsonl" for split in Split if made.counts.get(split)}
    for path in files.values():
        if path.exists() and not force:
            raise UsageError(f"{path} is there already.", hint="--force writes over it")
    folder.mkdir(parents=True, exist_ok=True)
    for split, path in files.items():
        with written(path, force=force) as stream:
            for row, where in zip(rows, made.splits, strict=True):
                if where is split:
                    stream.write(msgspec.json.encode(row) + b"\n")
    return files


class _Keyed(NamedTuple):
    place: int
    question: str
    answer: str | None


def _taken_out(rows: Sequence[Any], key: str) -> list[str]:
    """The value of a key in every row, which loses it."""
    values = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or key not in row:
            raise UsageError(f"Row {number} has no key {key!r}.", hint="--group-by KEY")
        values.append(msgspec.json.encode(row.pop(key), order="sorted").decode())
    return values


def _joined(keyed: Sequence[_Keyed], values: Sequence[str]) -> list[_Keyed]:
    """Rows that share a value or a question, and rows that share one with them, and so on."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    for row, value in zip(keyed, values, strict=True):
        parent[root(f"question {row.question}")] = root(f"value {value}")
    return [row._replace(question=root(f"question {row.question}")) for row in keyed]


def _quotas(rows: int, sizes: Mapping[Split, float]) -> dict[Split | None, float]:
    shares = all(0 <= size <= 1 for size in sizes.values())
    total = sum(sizes.values())
    if total <= 0 or min(sizes.values()) < 0:
        raise UsageError("The sizes leave nothing to write.", hint="--train 0.8 --test 0.2")
    if not shares and any(0 < size < 1 for size in sizes.values()):
        raise UsageError("Shares and numbers of rows cannot be mixed.", hint="--train 0.8")
    wanted = {split: size * rows if shares else size for split, size in sizes.items()}
    if total > 1 + 1e-9 if shares else total > rows:
        raise UsageError(f"The sizes ask for more than the {rows} rows there are.")
    rounded = _rounded(wanted, rows if shares and abs(total - 1) < 1e-9 else None)
    quotas: dict[Split | None, float] = dict(rounded.items())
    quotas[None] = rows - sum(rounded.values())
    return quotas


def _rounded(wanted: Mapping[Split, float], total: int | None) -> dict[Split, int]:
    """Whole numbers by largest remainder, so that they add up to the rows there are."""
    floors = {split: int(size + 1e-9) for split, size in wanted.items()}
    missing = (total if total is not None else round(sum(wanted.values()))) - sum(floors.values())
    by_remainder = sorted(wanted, key=lambda split: floors[split] - wanted[split])
    for split in by_remainder[: max(missing, 0)]:
        floors[split] += 1
    return floors


def _question_and_answer(row: Any) -> tuple[str, str | None]:
    """What rows are grouped by, whatever their dialect, and the answer of a row that has one."""
    messages = _messages(row)
    asked = [each.get("content") for each in messages if each.get("role") == "user"]
    if not asked:
        return _whole(row), None
    question = "\0".join(_folded(content) for content in asked)
    answer = messages[-1].get("content") if messages[-1].get("role") == "assistant" else None
    return question, answer if isinstance(answer, str) else None


def _messages(row: Any) -> list[dict[str, Any]]:
    """The turns of a row; none where nothing says who speaks."""
    made = convert_record(row, _ANY).row
    listed = (made or (row if isinstance(row, dict) else {})).get("messages")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


_ANY = Options(allow_loss=True)


def _whole(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _folded(content: Any) -> str:
    return folded(content) or content if isinstance(content, str) else _whole(content)


def _labels(rows: Sequence[_Keyed]) -> frozenset[str]:
    answers = Counter(row.answer for row in rows)
    few = len(answers) <= min(_MOST_LABELS, max(2, len(rows) // 4))
    if None in answers or not few or any(len(str(text)) > _LONGEST_LABEL for text in answers):
        return frozenset()
    return frozenset(str(answer) for answer in answers)


def _order(group: Sequence[_Keyed], *, labels: bool, seed: int) -> tuple[str, bytes]:
    label = str(group[0].answer) if labels else ""
    return label, hashlib.sha256(f"{seed}\0{group[0].question}".encode()).digest()


def _deal(
    groups: Sequence[Sequence[_Keyed]], quotas: Mapping[Split | None, float], rows: int
) -> list[Split | None]:
    """Every group goes where most is missing so far: each label is cut like the whole."""
    splits: list[Split | None] = [None] * rows
    given: dict[Split | None, int] = dict.fromkeys(quotas, 0)
    dealt = 0
    for group in groups:
        dealt += len(group)
        share = dealt / rows
        target = max(quotas, key=lambda split: quotas[split] * share - given[split])
        given[target] += len(group)
        for row in group:
            splits[row.place] = target
    _even_out(splits, [group[0].place for group in groups if len(group) == 1], quotas, given)
    return splits


def _even_out(
    splits: list[Split | None],
    alone: Sequence[int],
    quotas: Mapping[Split | None, float],
    given: dict[Split | None, int],
) -> None:
    """Rows that are alone go over until the sizes are as asked; larger groups may forbid it."""
    for place in reversed(alone):
        here = splits[place]
        needy = max(quotas, key=lambda split: quotas[split] - given[split])
        if given[needy] < quotas[needy] and given[here] > quotas[here]:
            splits[place] = needy
            given[here] -= 1
            given[needy] += 1
