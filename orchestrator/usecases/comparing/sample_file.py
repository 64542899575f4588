"""The samples of a file, read again when they are asked for: a few bytes a row, however long its text."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload
from zlib import crc32

from orchestrator.datasets.files.decoding import decoded
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.domain.chat import calls_text
from orchestrator.domain.comparing.sample import Sample, text_of
from orchestrator.domain.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_DICTS = {dict}
_CONVERSATION = frozenset(
    {"messages", "tools", "input", "preferred_output", "non_preferred_output"}
)
#: Rows that are held as values at once: so many, and fewer where they are long.
MOST_ROWS, _MOST_BYTES = 1000, 8 << 20


class By(NamedTuple):
    """Fields of a row, or of its `metadata`, that name its slice and its group."""

    slice: str | None = None
    group: str | None = None


class SampleFile(Sequence[Sample]):
    """Some rows of a chat JSONL file, in its order.

    Every row was read once and makes sense. It is read again where its values are needed; a file
    that was changed meanwhile is refused, so that no answer is graded by another row.
    """

    def __init__(self, path: Path, by: By) -> None:
        """Take a file no row of which is known yet."""
        self._path, self._by = path, by
        self._starts, self._sizes = array("Q"), array("Q")
        self._numbers, self._sums = array("Q"), array("L")

    @classmethod
    def read(cls, path: Path, by: By) -> tuple[SampleFile, list[Sample]]:
        """Read every row, and remember where it lies.

        Returns:
            The samples; and the same as values where the file cannot be read twice, being a pipe.

        Raises:
            DatasetInvalid: a row that is no example, with its line.
        """
        found, values, again = cls(path, by), [], path.is_file()
        bare: list[int] = []
        for number, start, line in _lines(path):
            sample = found._sample(number, line)
            if by.group is not None and sample.group is None:
                bare.append(number)
            found._remember(number, start, line)
            if not again:
                values.append(sample)
        if bare:
            raise DatasetInvalid(
                f"{len(bare)} rows of {path} have no '{by.group}' to group by, first in line "
                f"{bare[0]}."
            )
        return found, values

    def only(self, places: Iterable[int]) -> SampleFile:
        """Some of the rows, by place."""
        some = SampleFile(self._path, self._by)
        for place in places:
            some._starts.append(self._starts[place])
            some._sizes.append(self._sizes[place])
            some._numbers.append(self._numbers[place])
            some._sums.append(self._sums[place])
        return some

    def portions(self) -> Iterator[tuple[int, Sequence[Sample]]]:
        """The rows as values, as many at once as memory takes lightly; with the first one's place."""
        first = size = 0
        for place, one in enumerate(self._sizes):
            if place - first == MOST_ROWS or (place > first and size + one > _MOST_BYTES):
                yield first, self[first:place]
                first, size = place, 0
            size += one
        if first < len(self):
            yield first, self[first:]

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> list[Sample]: ...

    def __getitem__(self, place: int | slice) -> Sample | list[Sample]:
        """A row, or some, as values.

        Raises:
            DatasetInvalid: the file is another one by now.
        """
        if isinstance(place, slice):
            return list(self._values(range(*place.indices(len(self)))))
        return next(self._values([range(len(self))[place]]))

    def __iter__(self) -> Iterator[Sample]:
        """One row after the other."""
        return self._values(range(len(self)))

    def _values(self, places: Iterable[int]) -> Iterator[Sample]:
        try:
            with self._path.open("rb") as stream:
                at = 0
                for place in places:
                    start, size = self._starts[place], self._sizes[place]
                    if start != at:
                        stream.seek(start)
                    line, at = stream.read(size), start + size
                    if crc32(line) != self._sums[place]:
                        raise self._changed()
                    yield self._sample(self._numbers[place], line)
        except FileNotFoundError as error:
            raise self._changed() from error

    def _changed(self) -> DatasetInvalid:
        return DatasetInvalid(
            f"{self._path} was changed while its rows were asked.",
            hint="the same command again; a row that is still the same is not asked twice",
        )

    def _remember(self, number: int, start: int, line: bytes) -> None:
        self._starts.append(start)
        self._sizes.append(len(line))
        self._numbers.append(number)
        self._sums.append(crc32(line))

    def _sample(self, number: int, line: bytes) -> Sample:
        row = _row(self._path, number, line)
        messages = _messages(row)
        if set(map(type, messages)) != _DICTS:
            raise _invalid(self._path, number, "has no chat messages")
        last = messages[-1]
        if last.get("role") != "assistant" or len(messages) < 2:
            raise _invalid(self._path, number, "does not end with an answer of the assistant")
        tools, calls = row.get("tools"), last.get("tool_calls")
        return Sample(
            row=number,
            messages=list(map(_prompt_message, messages[:-1])),
            reference=text_of(last) or calls_text(calls),
            slice=_field(row, self._by.slice),
            group=_field(row, self._by.group),
            tools=tools if isinstance(tools, list) else None,
            calls=calls if isinstance(calls, list) else (),
            fields={name: value for name, value in row.items() if name not in _CONVERSATION},
        )


def portions(samples: Sequence[Sample]) -> Iterator[tuple[int, Sequence[Sample]]]:
    """Samples a portion at a time, with the place of the first one."""
    if isinstance(samples, SampleFile):
        yield from samples.portions()
        return
    for first in range(0, len(samples), MOST_ROWS):
        yield first, samples[first : first + MOST_ROWS]


def some_of(samples: Sequence[Sample], places: Sequence[int]) -> Sequence[Sample]:
    """The samples at these places; the same ones where they are all of them."""
    if len(places) == len(samples):
        return samples
    if isinstance(samples, SampleFile):
        return samples.only(places)
    return [samples[place] for place in places]


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number, place in bytes and content of every line that holds something."""
    with path.open("rb") as stream:
        start = 0
        for number, line in enumerate(stream, 1):
            mark = len(BOM) if number == 1 and line.startswith(BOM) else 0
            row = line[mark:].rstrip(b"\r\n")
            if row.strip():
                yield number, start + mark, row
            start += len(line)


def _row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = decoded(line)
    except UnicodeDecodeError as error:
        raise DatasetInvalid(
            f"{path} is not UTF-8 after line {number - 1}.", hint=f"ftctl convert {path}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _invalid(path, number, "is not JSON") from error
    if not isinstance(row, dict):
        raise _invalid(path, number, "is not a JSON object")
    return row


def _messages(row: Mapping[str, Any]) -> list[Any]:
    messages = row.get("messages")
    if messages is None and isinstance(row.get("input"), dict):
        # A preference row: the preferred answer is what it teaches.
        return [*_list(row["input"].get("messages")), *_list(row.get("preferred_output"))]
    return _list(messages)


def _prompt_message(message: dict[str, Any]) -> dict[str, Any]:
    # `weight` is a word of training files; chat endpoints refuse it.
    if "weight" not in message:
        return message
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
