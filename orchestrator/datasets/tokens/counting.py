"""Counting tokens offline: what a row of messages costs by OpenAI's formula."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import UNSET

from orchestrator.datasets.content.texts import texts_of
from orchestrator.datasets.records import (
    Answer,
    Assistant,
    Chat,
    Developer,
    Preference,
    System,
    Tool,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.datasets.records import Message, Row

    #: Of texts, the tokens before each of them, and in all: a number more than there are texts.
    Sums = Callable[[Sequence[str]], Sequence[int]]

#: What a name and an example add to their texts.
PER_NAME, PER_EXAMPLE = 1, 3
#: What a message adds: three tokens of form, and its role, which is one in every vocabulary.
PER_MESSAGE = 3 + 1


class TokenCounter(Protocol):
    """Counts tokens of plain text; special tokens spelled out in it are text.

    Attributes:
        encoding: the vocabulary, for people.
        context: the longest example the model reads; None when the vocabulary does not say.
    """

    encoding: str
    context: int | None

    def count(self, text: str) -> int:
        """The tokens of a text."""
        ...

    def count_rows(self, rows: Sequence[Row]) -> Sequence[int]:
        """The tokens of each example, form and tools included; of a pair, with the answer preferred."""
        ...

    def count_others(self, rows: Sequence[Preference]) -> Sequence[int]:
        """The tokens that the answer that is not preferred adds to each."""
        ...


class TextCounter:
    """Counts the texts of rows, many with one call; instructions and tools repeat, and are kept."""

    context: int | None = None

    def __init__(self, sums: Sums, encoding: str) -> None:
        """Count with a function.

        Args:
            sums: of texts, the tokens before each of them, and in all.
            encoding: its vocabulary, for people.
        """
        self._sums = sums
        self._known = _Known(sums)
        self.encoding = encoding

    def count(self, text: str) -> int:
        """The tokens of a text."""
        return self._sums([text])[-1]

    def count_rows(self, rows: Sequence[Row]) -> Sequence[int]:
        """The tokens of each of many examples."""
        texts: list[str] = []
        heads, ends = [], []
        for row in rows:
            heads.append(PER_EXAMPLE + self._take(row, texts))
            ends.append(len(texts))
        return self._each(heads, ends, texts)

    def count_others(self, rows: Sequence[Preference]) -> Sequence[int]:
        """The tokens of each of many answers; the prompts are counted already."""
        texts: list[str] = []
        heads, ends = [], []
        for row in rows:
            heads.append(_take(row.non_preferred_output, texts))
            ends.append(len(texts))
        return self._each(heads, ends, texts)

    def _take(self, row: Row, texts: list[str]) -> int:
        """Put the texts of a row to those that are counted; the tokens of what is not among them."""
        holder = row.input if type(row) is Preference else row
        messages, known = holder.messages, 0  # type: ignore[union-attr]
        if holder.tools is not UNSET:  # type: ignore[union-attr]
            known = self._known[bytes(holder.tools)]  # type: ignore[union-attr]
        if type(row) is Chat:
            if row.functions is not UNSET:
                known += self._known[bytes(row.functions)]
        elif type(row) is Preference:
            known += _take(row.preferred_output, texts)
        first = messages[0]
        if type(first) in _INSTRUCTIONS and type(first.content) is str and first.name is UNSET:
            known += PER_MESSAGE + self._known[first.content]
            messages = messages[1:]
        return known + _take(messages, texts)

    def _each(
        self, heads: Sequence[int], ends: Sequence[int], texts: Sequence[str]
    ) -> Sequence[int]:
        """What each row adds up to: its head, and its texts, which end where the next row's start."""
        sums = self._sums(texts)
        reached = pairwise([0, *map(sums.__getitem__, ends)])
        return [head + after - before for head, (before, after) in zip(heads, reached, strict=True)]


def _take(messages: Sequence[Message | Answer], texts: list[str]) -> int:
    """Put the texts of messages to those that are counted; the tokens of roles, names and form."""
    form = PER_MESSAGE * len(messages)
    for message in messages:
        content, kind = message.content, type(message)
        if type(content) is str:
            texts.append(content)
        else:
            texts += texts_of(message)
        if message.name is not UNSET:
            form += PER_NAME
            texts.append(message.name)
        if kind is Assistant or kind is Answer:
            if message.tool_calls is not UNSET or message.function_call or message.refusal:  # type: ignore[union-attr]
                texts += _beside_content(message)  # type: ignore[arg-type]
        elif kind is Tool:
            texts.append(message.tool_call_id)  # type: ignore[union-attr]
    return form


def _beside_content(message: Assistant | Answer) -> Iterator[str]:
    calls = [] if message.tool_calls is UNSET else [call.function for call in message.tool_calls]
    for called in (*calls, message.function_call or None):
        if called is not None:
            yield called.name
            yield called.arguments
    if message.refusal:
        yield message.refusal


class _Known(dict[str | bytes, int]):
    """The tokens of texts, counted when they are first asked for; of tools, by their bytes."""

    def __init__(self, sums: Sums) -> None:
        super().__init__()
        self._sums = sums

    def __missing__(self, text: str | bytes) -> int:
        tokens = self._sums([text if isinstance(text, str) else _compact(text)])[-1]
        if len(self) < _REMEMBERED and len(text) < _SHORT:
            self[text] = tokens
        return tokens


def _compact(tools: bytes) -> str:
    """Tools as they would be written without spaces or escapes, however they are."""
    try:
        return msgspec.json.encode(msgspec.json.decode(tools)).decode()
    except (ValueError, RecursionError):
        return tools.decode("utf-8", "replace")


_INSTRUCTIONS = frozenset({System, Developer})
_REMEMBERED, _SHORT = 512, 20_000
