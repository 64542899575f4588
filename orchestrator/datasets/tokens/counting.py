"""Counting tokens offline, and what a row of messages costs."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib
import tempfile
from itertools import compress, islice, repeat
from operator import attrgetter, contains
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import UNSET

from orchestrator.datasets.content.texts import texts_of
from orchestrator.datasets.extras import has_package
from orchestrator.datasets.records import (
    ROLES,
    Answer,
    Assistant,
    Developer,
    Function,
    Preference,
    System,
    Tool,
    User,
)
from orchestrator.datasets.tokens.open_models import is_model_folder, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.datasets.records import Message, Row

O200K = "o200k_base"
CL100K = "cl100k_base"
#: OpenAI's formula: what a message, a name and an example add to their texts.
PER_MESSAGE, PER_NAME, PER_EXAMPLE = 3, 1, 3


class TokenCounter(Protocol):
    """Counts tokens of plain text; special tokens spelled out in it are text.

    Attributes:
        encoding: the vocabulary, for people.
        context: the longest example the model reads; None when the vocabulary does not say.
    """

    encoding: str
    context: int | None

    def count(self, texts: Sequence[str]) -> int:
        """The tokens of all texts together, each counted by itself."""
        ...

    def count_row(self, row: Row) -> int:
        """The tokens of an example, form and tools included."""
        ...

    def count_other(self, row: Preference) -> int:
        """The tokens that the answer that is not preferred adds to an example."""
        ...

    def count_rows(self, rows: Sequence[Row]) -> Sequence[int]:
        """The tokens of each of many examples; those without tools are roles and texts alone.

        Args:
            rows: of supervised or reinforcement files.
        """
        ...


class NoTokenizer(Exception):
    """No tokenizer is installed."""


#: Bytes of input from which on the quick tokenizer is worth its time to load.
WORTH_A_QUICK_ONE = 100_000_000


def counter_of(model: str | None = None, *, size: int = 0) -> TokenCounter:
    """The counter for a model.

    Args:
        model: a model's name, or a folder with its tokenizer; None and unknown names count as the
            newest models do.
        size: bytes that will be counted; many are worth the extra `fast`, if it is installed.

    Raises:
        NoTokenizer: the package splintr-rs is not installed.
        ConfigurationError: the packages for the folder of an open model are not installed.
    """
    if model is not None and is_model_folder(model):
        return OpenCounter(model)
    encoding = encoding_of(model)
    if size >= WORTH_A_QUICK_ONE and encoding == O200K and has_package("fastokens"):
        return _load_quick()
    return _load(encoding)


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
        messages, tools = row.messages, row.tools  # type: ignore[assignment]
    texts, form = _texts(messages)
    if tools is not UNSET:
        texts.append(bytes(tools).decode("utf-8", "replace"))
    return texts, PER_EXAMPLE + form


def other_texts(row: Preference) -> tuple[list[str], int]:
    """The same of the answer that is not preferred, alone: its prompt is counted already."""
    return _texts(row.non_preferred_output)


def _texts(messages: Sequence[Message | Answer]) -> tuple[list[str], int]:
    texts: list[str] = [ROLES[type(message)] for message in messages]
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
    elif isinstance(message, Tool):
        texts.append(message.tool_call_id)
    return form


class _Remembering:
    """Counts texts with a function, and keeps the counts of short ones that came before."""

    context: int | None = None

    def __init__(self, lengths: Callable[[Sequence[str]], list[int]], encoding: str) -> None:
        self._lengths = lengths
        self._known: dict[str, int] = {}
        self._forms: dict[tuple[type, ...], tuple[int, bool]] = {}
        self.encoding = encoding

    def count(self, texts: Sequence[str]) -> int:
        return sum(map(self._count_known, texts))

    def _count_known(self, text: str) -> int:
        """Roles, instructions and tools repeat in every row: a few hundred are worth keeping."""
        tokens = self._known.get(text)
        if tokens is None:
            (tokens,) = self._lengths([text])
            if len(self._known) < _REMEMBERED and len(text) < _SHORT:
                self._known[text] = tokens
        return tokens

    def count_row(self, row: Row) -> int:
        texts, form = row_texts(row)
        return self.count(texts) + form

    def count_other(self, row: Preference) -> int:
        texts, form = other_texts(row)
        return self.count(texts) + form

    def count_rows(self, rows: Sequence[Row]) -> Sequence[int]:
        quick = [row.tools is UNSET for row in rows]  # type: ignore[union-attr]
        turns = [row.messages for row in compress(rows, quick)]  # type: ignore[union-attr]
        counts = self._count_turns(turns)
        if len(counts) == len(rows):
            return counts
        each = iter(counts)
        return [
            next(each) if is_quick else self.count_row(row)
            for row, is_quick in zip(rows, quick, strict=True)
        ]

    def _count_turns(self, turns: Sequence[Sequence[Message]]) -> list[int]:
        """Of many rows at once: all their texts are counted with one call of a function."""
        heads: list[int] = []
        others: list[str] = []
        sizes: list[int] = []
        for messages in turns:
            roles = tuple(map(type, messages))
            form, is_instructed = self._forms.get(roles) or self._form(roles)
            texts = list(map(_contents, messages))
            if is_instructed:
                form += self._count_known(texts.pop(0))
            heads.append(form)
            sizes.append(len(texts))
            others += texts
        each = iter(self._lengths(others))
        return [head + sum(islice(each, size)) for head, size in zip(heads, sizes, strict=True)]

    def _form(self, roles: tuple[type, ...]) -> tuple[int, bool]:
        tokens = self.count([ROLES[role] for role in roles])
        form = tokens + PER_EXAMPLE + PER_MESSAGE * len(roles), roles[0] in {System, Developer}
        if len(self._forms) < _REMEMBERED:
            self._forms[roles] = form
        return form


_contents = attrgetter("content")
_REMEMBERED, _SHORT = 512, 20_000


class OpenCounter(_Remembering):
    """Counts as an open model does: its chat template writes the row, its tokenizer counts."""

    def __init__(self, folder: str) -> None:
        """Read the folder."""
        self._model = open_model(folder)
        super().__init__(lambda texts: list(map(self._model.count, texts)), Path(folder).name)
        self.context = self._model.context

    def count_row(self, row: Row) -> int:
        """The tokens of the whole row as the chat template writes it."""
        holder = row.input if isinstance(row, Preference) else row
        answer = row.preferred_output if isinstance(row, Preference) else []
        messages = [
            {"role": ROLES[type(each)], **msgspec.to_builtins(each)}
            for each in (*holder.messages, *answer)
        ]
        tools = None if holder.tools is UNSET else msgspec.json.decode(holder.tools)
        return self._model.count(self._model.render(messages, tools))

    def count_rows(self, rows: Sequence[Row]) -> Sequence[int]:
        """The same of many."""
        return list(map(self.count_row, rows))


@functools.cache
def _load(encoding: str) -> TokenCounter:
    tokenizer = _splintr(encoding)
    flat, ordinary = tokenizer.encode_flat, tokenizer.encode_ordinary

    def lengths(texts: Sequence[str]) -> list[int]:
        """The flat form makes no number of each token, but it reads special tokens as such."""
        if any(map(contains, texts, repeat("<|"))):
            return list(map(len, map(ordinary, texts)))
        return [len(ids) >> 2 for ids in map(flat, texts)]

    return _Remembering(lengths, encoding)


@functools.cache
def _load_quick() -> TokenCounter:
    """The extra `fast`, with the vocabulary that splintr carries; its bytes are checked."""
    decode = _splintr(O200K).decode_token_bytes
    ranks = (b"%s %d\n" % (base64.b64encode(decode(rank)), rank) for rank in range(_O200K_RANKS))
    vocabulary = b"".join(ranks)
    if hashlib.sha256(vocabulary).hexdigest() != _O200K_DIGEST:
        return _load(O200K)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "o200k_base.tiktoken"
        path.write_bytes(vocabulary)
        native = importlib.import_module("fastokens._native")
        encode = native.Tokenizer.from_tiktoken(str(path), encoding=O200K).encode_ordinary
    return _Remembering(lambda texts: list(map(len, map(encode, texts))), O200K)


# The digest of the file that OpenAI publishes.
_O200K_RANKS = 199_998
_O200K_DIGEST = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


def _splintr(encoding: str) -> Any:
    try:
        from splintr import Tokenizer
    except ImportError as error:
        raise NoTokenizer("the package splintr-rs is not installed") from error
    return Tokenizer.from_pretrained(encoding)
