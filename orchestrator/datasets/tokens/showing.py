"""A row as the model will see it, and which of it is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from orchestrator.datasets.files.reading import cut_lines, opened
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.tokens.counting import PER_EXAMPLE, PER_MESSAGE
from orchestrator.datasets.tokens.vocabularies import counter_of
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from orchestrator.datasets.tokens.open_models import OpenModel


class Piece(NamedTuple):
    """A part of a row in the order in which it is read.

    Attributes:
        text: as the model sees it.
        trained: whether the model learns to write it.
        tokens: of the text.
        label: whose words they are, or what they are for.
    """

    text: str
    trained: bool
    tokens: int
    label: str


class FoundRow(NamedTuple):
    """A row where it stands.

    Attributes:
        row: number, from 1, without blank lines.
        line: physical line, from 1.
        text: of the line, as it came.
    """

    row: int
    line: int
    text: bytes

    def decoded(self, path: Path) -> dict[str, Any]:
        """The row of that file.

        Raises:
            UsageError: it cannot be read.
        """
        return _decoded(self.text, path, self.line)


def row_of(path: Path, number: int) -> tuple[int, dict[str, Any]]:
    """Row N of a file, counted from 1 without blank lines, and the line it stands on.

    Raises:
        UsageError: there is no such row, or it cannot be read.
    """
    seen = 0
    with opened(path) as source:
        for line_number, line in enumerate(cut_lines(source.stream), 1):
            bare = line.removeprefix(BOM).strip()
            seen += bool(bare)
            if bare and seen == number:
                return line_number, _decoded(bare, path, line_number)
    raise UsageError(f"{path} has {seen} rows; there is no row {number}.", hint="--show 1")


def rows_between(
    path: Path, *, first: int = 1, many: int = 10, lines: Collection[int] | None = None
) -> list[FoundRow]:
    """Some rows of a file, as they stand there; what cannot be read is there, too.

    Args:
        path: of the dataset.
        first: number of the first row that is wanted, from 1, without blank lines.
        many: so many at most.
        lines: only rows on these lines.
    """
    found: list[FoundRow] = []
    row = 0
    with opened(path) as source:
        for line, text in enumerate(cut_lines(source.stream), 1):
            bare = text.removeprefix(BOM).strip()
            row += bool(bare)
            if bare and (row >= first if lines is None else line in lines):
                found.append(FoundRow(row, line, bare))
            if len(found) == many:
                break
    return found


def pieces_of(
    row: Mapping[str, Any], *, model: OpenModel | None = None, name: str | None = None
) -> list[Piece]:
    """The pieces of a chat row; of a preference pair, with the preferred answer.

    Args:
        row: a row of OpenAI chat or preference.
        model: the folder whose chat template writes the row; without one, turns are shown as
            OpenAI counts them.
        name: the model's name, which chooses the vocabulary without a folder.

    Raises:
        UsageError: the row has no messages, or the chat template refuses it.
    """
    messages, tools = _messages(row)
    if model is None:
        return _turns(messages, tools, name)
    answers = [index for index, message in enumerate(messages) if _is_learned(message)]
    pieces: list[Piece] = []
    done = 0
    whole = model.render(messages, tools)
    for index in answers:
        before = model.render(messages[:index], tools, prompt=True)
        after = model.render(messages[: index + 1], tools)
        if not whole.startswith(after) or not after.startswith(before) or len(before) < done:
            raise UsageError("The chat template does not show where the answers begin.")
        _add(pieces, model, whole[done : len(before)], trained=False)
        _add(pieces, model, whole[len(before) : len(after)], trained=True)
        done = len(after)
    _add(pieces, model, whole[done:], trained=False)
    return pieces


def cut_at(pieces: Sequence[Piece], most: int | None) -> int | None:
    """The piece in which the target stops reading; None when it reads all of them."""
    read = 0
    for index, piece in enumerate(pieces):
        read += piece.tokens
        if most is not None and read > most:
            return index
    return None


def _decoded(bare: bytes, path: Path, line: int) -> dict[str, Any]:
    try:
        row = msgspec.json.decode(bare)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} line {line} cannot be read.", hint=f"ftctl validate {path}"
        ) from error
    if not isinstance(row, dict):
        raise UsageError(f"{path} line {line} is not an object.", hint=f"ftctl validate {path}")
    return row


def _messages(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    holder = row.get("input", row)
    found = holder.get("messages") if isinstance(holder, dict) else None
    answer = row.get("preferred_output") or []
    if not isinstance(found, list) or not isinstance(answer, list):
        raise UsageError("The row has no messages.", hint="ftctl convert FILE -o OUT.jsonl")
    messages = [*found, *answer]
    if not messages or not all(isinstance(each, dict) and "role" in each for each in messages):
        raise UsageError("The row has messages without a role.", hint="ftctl validate FILE")
    if answer:
        messages = [
            {**each, "weight": 0} if each["role"] == "assistant" and index < len(found) else each
            for index, each in enumerate(messages)
        ]
    return messages, holder.get("tools")


def _is_learned(message: Mapping[str, Any]) -> bool:
    return bool(message["role"] == "assistant" and message.get("weight", 1) != 0)


def _turns(messages: Sequence[Mapping[str, Any]], tools: Any, name: str | None) -> list[Piece]:
    counter = counter_of(name)
    pieces = []
    if tools:
        text = msgspec.json.encode(tools).decode()
        pieces.append(Piece(text, False, counter.count(text), "tools"))
    for message in messages:
        text = _text(message)
        tokens = counter.count(text) + PER_MESSAGE
        pieces.append(Piece(text, _is_learned(message), tokens, str(message["role"])))
    pieces.append(Piece("", False, PER_EXAMPLE, "end"))
    return pieces


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part if isinstance(part, dict) else {} for part in content]
        content = "".join(str(part.get("text") or f"[{part.get('type')}]") for part in parts)
    texts = [content] if isinstance(content, str) and content else []
    for call in message.get("tool_calls") or []:
        function = call.get("function", {})
        texts.append(f"{function.get('name')}({function.get('arguments')})")
    return "\n".join(texts)


def _add(pieces: list[Piece], model: OpenModel, text: str, *, trained: bool) -> None:
    if text:
        label = "learned" if trained else "read"
        pieces.append(Piece(text, trained, model.count(text), label))
