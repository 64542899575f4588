"""Counting tokens offline: what a row of messages costs by OpenAI's formula."""

from __future__ import annotations

from itertools import accumulate, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from msgspec import UNSET

from orchestrator.datasets.content.texts import texts_of
from orchestrator.datasets.records import (
    Answer,
    Assistant,
    Chat,
    Developer,
    Function,
    Preference,
    System,
    Tool,
    User,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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

    def count_row(self, row: Row) -> int:
        """The tokens of an example, form and tools included; of a pair, with the preferred answer."""
        ...

    def count_rows(self, rows: Sequence[Row]) -> Sequence[int]:
        """The same of each of many rows, of which those without tools are turns of plain text."""
        ...

    def count_other(self, row: Preference) -> int:
        """The tokens that the answer that is not preferred adds to an example."""
        ...

    def count_others(self, rows: Sequence[Preference]) -> Sequence[int]:
        """The same of each of many pairs."""
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

    def count_row(self, row: Row) -> int:
        """The tokens of an example."""
        texts, head = self._parts(row)
        return head + self._sums(texts)[-1]

    def count_other(self, row: Preference) -> int:
        """The tokens of the answer that is not preferred."""
        return self.count_others([row])[0]

    def count_others(self, rows: Sequence[Preference]) -> Sequence[int]:
        """The same of each of many pairs; their prompts are counted already."""
        parts = [texts_and_form(row.non_preferred_output) for row in rows]
        texts = [text for part, _ in parts for text in part]
        ends = accumulate(len(part) for part, _ in parts)
        return self._each([form for _, form in parts], list(ends), texts)

    def count_rows(self, rows: Sequence[Row]) -> Sequence[int]:
        """The tokens of each of many examples."""
        heads: list[int] = []
        ends: list[int] = []
        texts: list[str] = []
        for row in rows:
            if type(row) is Preference or row.tools is not UNSET:  # type: ignore[union-attr]
                some, head = self._parts(row)
                texts += some
            else:
                messages: Sequence[Message] = row.messages  # type: ignore[union-attr]
                head, first = PER_EXAMPLE + PER_MESSAGE * len(messages), messages[0]
                if type(first) in _INSTRUCTIONS:
                    head += self._known[first.content]  # type: ignore[index]
                    messages = messages[1:]
                texts += map(_contents, messages)
            heads.append(head)
            ends.append(len(texts))
        return self._each(heads, ends, texts)

    def _each(
        self, heads: Sequence[int], ends: Sequence[int], texts: Sequence[str]
    ) -> Sequence[int]:
        """What each row adds up to: its head, and its texts, which end where the next row's start."""
        sums = self._sums(texts)
        reached = pairwise([0, *map(sums.__getitem__, ends)])
        return [head + after - before for head, (before, after) in zip(heads, reached, strict=True)]

    def _parts(self, row: Row) -> tuple[list[str], int]:
        holder = row.input if isinstance(row, Preference) else row
        answer = row.preferred_output if isinstance(row, Preference) else ()
        texts, form = texts_and_form([*holder.messages, *answer])
        listed = (holder.tools, row.functions if isinstance(row, Chat) else UNSET)
        tools = sum(self._known[bytes(raw)] for raw in listed if raw is not UNSET)
        return texts, PER_EXAMPLE + form + tools


def texts_and_form(messages: Sequence[Message | Answer]) -> tuple[list[str], int]:
    """What of messages is counted: their texts, and the tokens that roles, names and form add."""
    texts: list[str] = []
    form = PER_MESSAGE * len(messages)
    for message in messages:
        content = message.content
        if type(content) is str:
            texts.append(content)
        else:
            texts.extend(texts_of(message))
        if type(message) is not User or message.name is not UNSET:
            form += _extras(message, texts)
    return texts, form


def _extras(message: Message | Answer, texts: list[str]) -> int:
    if isinstance(message, Function):
        texts.append(message.name)
        return PER_NAME
    form = 0
    if message.name is not UNSET:
        texts.append(message.name)
        form = PER_NAME
    if isinstance(message, Assistant | Answer):
        if message.tool_calls is not UNSET:
            for call in message.tool_calls:
                texts += [call.function.name, call.function.arguments]
        if message.function_call:
            texts += [message.function_call.name, message.function_call.arguments]
        if message.refusal:
            texts.append(message.refusal)
    elif isinstance(message, Tool):
        texts.append(message.tool_call_id)
    return form


class _Known(dict[str | bytes, int]):
    """The tokens of texts, counted when they are first asked for; of tools, by their bytes."""

    def __init__(self, sums: Sums) -> None:
        super().__init__()
        self._sums = sums

    def __missing__(self, text: str | bytes) -> int:
        plain = text if isinstance(text, str) else text.decode("utf-8", "replace")
        tokens = self._sums([plain])[-1]
        if len(self) < _REMEMBERED and len(text) < _SHORT:
            self[text] = tokens
        return tokens


_contents = attrgetter("content")
_INSTRUCTIONS = frozenset({System, Developer})
_REMEMBERED, _SHORT = 512, 20_000
