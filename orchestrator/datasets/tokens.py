"""Counting tokens offline, and what a row of messages costs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import UNSET

from orchestrator.datasets.content import texts_of
from orchestrator.datasets.records import ROLES, Answer, Assistant, Function, Preference, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.datasets.records import Message, Row

O200K = "o200k_base"
CL100K = "cl100k_base"
#: OpenAI's formula: what a message, a name and an example add to their texts.
PER_MESSAGE, PER_NAME, PER_EXAMPLE = 3, 1, 3


class TokenCounter(Protocol):
    """Counts tokens of plain text; special tokens spelled out in it are text."""

    encoding: str

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text."""
        ...


class NoTokenizer(Exception):
    """No tokenizer is installed."""


def counter_of(model: str | None = None) -> TokenCounter:
    """The counter for a model.

    Args:
        model: a model's name; None and unknown names count as the newest models do.

    Raises:
        NoTokenizer: the package splintr-rs is not installed.
    """
    return _load(encoding_of(model))


def encoding_of(model: str | None) -> str:
    """The vocabulary of a model: cl100k_base for GPT-3.5 and GPT-4, o200k_base since GPT-4o."""
    name = (model or "").removeprefix("ft:").lower()
    if name.startswith(("gpt-3.5", "gpt-35", "davinci-002", "babbage-002")):
        return CL100K
    is_4 = name.startswith("gpt-4") and not name.startswith(("gpt-4o", "gpt-4.1", "gpt-4.5"))
    return CL100K if is_4 else O200K


def row_texts(row: Row) -> tuple[list[str], int]:
    """What of a row is counted, and what its form adds.

    Returns:
        The texts whose tokens count, and the tokens that messages, names and the example add.
    """
    if isinstance(row, Preference):
        messages: list[Message | Answer] = [*row.input.messages, *row.preferred_output]
        tools = row.input.tools
    else:
        messages, tools = [*row.messages], row.tools
    texts: list[str] = []
    form = PER_EXAMPLE + PER_MESSAGE * len(messages)
    for message in messages:
        texts.append(ROLES[type(message)])
        texts.extend(texts_of(message))
        form += _extras(message, texts)
    if tools is not UNSET:
        texts.append(bytes(tools).decode("utf-8", "replace"))
    return texts, form


def _extras(message: Message | Answer, texts: list[str]) -> int:
    if isinstance(message, Function):
        texts.append(message.name)
        return PER_NAME
    form = 0
    if message.name is not UNSET:
        texts.append(message.name)
        form = PER_NAME
    if isinstance(message, Tool):
        texts.append(message.tool_call_id)
    if isinstance(message, Assistant | Answer):
        if message.tool_calls is not UNSET:
            for call in message.tool_calls:
                texts += [call.function.name, call.function.arguments]
        if message.function_call:
            texts += [message.function_call.name, message.function_call.arguments]
    return form


class _Splintr:
    """splintr-rs: its vocabularies lie in the package, so nothing is fetched."""

    def __init__(self, tokenizer: Any, encoding: str) -> None:
        self._encode = tokenizer.encode_ordinary
        self._known: dict[str, int] = {}
        self.encoding = encoding

    def count(self, texts: Sequence[str]) -> list[int]:
        return [self._count(text) for text in texts]

    def _count(self, text: str) -> int:
        known = self._known.get(text)
        if known is None:
            known = len(self._encode(text))
            if len(self._known) < _REMEMBERED and len(text) < 20_000:
                self._known[text] = known
        return known


# Roles, system prompts and tools repeat in every row; a few hundred of them are worth keeping.
_REMEMBERED = 512


@functools.cache
def _load(encoding: str) -> TokenCounter:
    try:
        from splintr import Tokenizer
    except ImportError as error:
        raise NoTokenizer("the package splintr-rs is not installed") from error
    return _Splintr(Tokenizer.from_pretrained(encoding), encoding)
