"""A row as the model will see it, and which of it is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from orchestrator.datasets.files.reading import cut_lines, opened
from orchestrator.datasets.files.sniffing import BOM
from orchestrator.datasets.tokens.counting import PER_EXAMPLE, PER_MESSAGE, PER_NAME
from orchestrator.datasets.tokens.vocabularies import counter_of
from orchestrator.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from orchestrator.datasets.tokens.counting import TokenCounter
    from orchestrator.datasets.tokens.open_models import OpenModel


#: Labels of what a row holds beside its text: the other answer of a pair, and what a grader is given.
OTHER, GRADED = "not preferred", "for the grader"


class Piece(NamedTuple):
    """A part of a row in the order in which it is read.

    Attributes:
        text: as the model sees it.
        trained: whether the model learns to write it.
        tokens: of the text and its form.
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


class Sizes(NamedTuple):
    """The tokens of a row, as validation counts them.

    Attributes:
        total: of all that is read, with the answer that is learned.
        learned: of those, what the model learns to write.
        other: of the answer that is not preferred.
    """

    total: int
    learned: int
    other: int


def sizes_of(pieces: Iterable[Piece]) -> Sizes:
    """What the pieces of a row add up to."""
    total = learned = other = 0
    for piece in pieces:
        if piece.label == OTHER:
            other += piece.tokens
        else:
            total += piece.tokens
            learned += piece.tokens * piece.trained
    return Sizes(total, learned, other)


def pieces_of(
    row: Mapping[str, Any], *, model: OpenModel | None = None, name: str | None = None
) -> list[Piece]:
    """The pieces of a row of any method.

    Of a preference pair the answer that is preferred is learned, and the other comes last; a prompt
    of reinforcement ends with what the grader is given.

    Args:
        row: a row of OpenAI chat, preference or reinforcement.
        model: the folder whose chat template writes the row; without one, turns are shown as
            OpenAI counts them.
        name: the model's name, which chooses the vocabulary without a folder.

    Raises:
        UsageError: the row has no messages, or the chat template refuses it.
    """
    asked = _asked(row)
    learned = asked.messages + [{"weight": 1, **each} for each in asked.preferred]
    if model is None:
        counter = counter_of(name)
        pieces = _turns(learned, asked, counter)
        pieces += [
            each._replace(trained=False, label=OTHER)
            for each in map(_turn_of(counter), asked.other)
        ]
    else:
        pieces = _written(learned, asked.tools, model)
        if asked.other:
            other = _written(asked.messages + asked.other, asked.tools, model)[-1]
            pieces.append(other._replace(trained=False, label=OTHER))
        if lost := _left_out(learned, asked.tools, pieces):
            pieces.append(Piece("", False, 0, f"left out by the chat template: {lost}"))
    if asked.graded:
        text = msgspec.json.encode(asked.graded).decode()
        pieces.append(Piece(text, False, 0, GRADED))
    return pieces


def cut_at(pieces: Sequence[Piece], most: int | None) -> int | None:
    """The piece in which the target stops reading; None when it reads all of them."""
    read = 0
    for index, piece in enumerate(pieces):
        read += piece.tokens if piece.label != OTHER else 0
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


class _Asked(NamedTuple):
    """What a row holds, whatever its method."""

    messages: list[dict[str, Any]]
    tools: Any
    functions: Any
    preferred: list[dict[str, Any]]
    other: list[dict[str, Any]]
    graded: dict[str, Any]


def _asked(row: Mapping[str, Any]) -> _Asked:
    holder = row.get("input", row)
    found = holder.get("messages") if isinstance(holder, dict) else None
    preferred, other = row.get("preferred_output") or [], row.get("non_preferred_output") or []
    if not (isinstance(found, list) and isinstance(preferred, list) and isinstance(other, list)):
        raise UsageError("The row has no messages.", hint="ftctl convert FILE -o OUT.jsonl")
    messages = [*found, *preferred, *other]
    if not found or not all(isinstance(each, dict) and "role" in each for each in messages):
        raise UsageError("The row has messages without a role.", hint="ftctl validate FILE")
    if preferred:  # What was answered before is read, not learned.
        found = [{**each, "weight": 0} for each in found]
    is_prompt = not preferred and found[-1]["role"] == "user"
    graded = {key: value for key, value in row.items() if key not in _OF_CHATS} if is_prompt else {}
    return _Asked(found, holder.get("tools"), holder.get("functions"), preferred, other, graded)


_OF_CHATS = {"messages", "tools", "functions", "parallel_tool_calls", "input"}


def _is_learned(message: Mapping[str, Any]) -> bool:
    return bool(message["role"] == "assistant" and message.get("weight", 1) != 0)


def _turns(
    messages: Sequence[Mapping[str, Any]], asked: _Asked, counter: TokenCounter
) -> list[Piece]:
    pieces = []
    for label, listed in (("tools", asked.tools), ("functions", asked.functions)):
        if listed:
            text = msgspec.json.encode(listed).decode()
            pieces.append(Piece(text, False, counter.count(text), label))
    pieces += map(_turn_of(counter), messages)
    pieces.append(Piece("", False, PER_EXAMPLE, "end"))
    return pieces


def _turn_of(counter: TokenCounter) -> Callable[[Mapping[str, Any]], Piece]:
    def piece(message: Mapping[str, Any]) -> Piece:
        shown, counted = _texts(message)
        form = PER_MESSAGE + PER_NAME * isinstance(message.get("name"), str)
        tokens = form + sum(map(counter.count, counted))
        return Piece("\n".join(shown), _is_learned(message), tokens, str(message["role"]))

    return piece


def _texts(message: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is shown of a message, and what of it is counted."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    known = [part for part in parts if isinstance(part, dict)]
    said = [str(part.get("text") or part.get("refusal") or "") for part in known]
    counted = [text for text in said if text]
    images = [f"[{part.get('type')}]" for part in known if part.get("type") == "image_url"]
    shown = ["".join([*counted, *images])] if counted or images else []
    for key in ("name", "refusal", "tool_call_id"):
        if isinstance(text := message.get(key), str):
            counted.append(text)
            shown.append(f"{key}: {text}")
    calls = [call.get("function") for call in message.get("tool_calls") or []]
    for called in (*calls, message.get("function_call")):
        if isinstance(called, dict):
            name, arguments = str(called.get("name")), str(called.get("arguments"))
            counted += [name, arguments]
            shown.append(f"{name}({arguments})")
    return shown, counted


def _written(messages: list[dict[str, Any]], tools: Any, model: OpenModel) -> list[Piece]:
    """As the worker cuts a row: where the template rewrites what came before, a row an answer."""
    answers = [index for index, message in enumerate(messages) if _is_learned(message)]
    pieces = _cut(messages, answers, tools, model)
    if pieces is not None:
        return pieces
    pieces = []
    for index in answers:
        part = _cut(messages[: index + 1], [index], tools, model)
        if part is None:
            raise UsageError("The chat template does not show where the answers begin.")
        pieces += [Piece("", False, 0, "a row of its own: the template rewrites history"), *part]
    return pieces


def _cut(
    messages: list[dict[str, Any]], answers: Sequence[int], tools: Any, model: OpenModel
) -> list[Piece] | None:
    """The text at its answers; None where the template rewrites what came before one."""
    pieces: list[Piece] = []
    done = 0
    whole = model.render(messages, tools, prompt=messages[-1]["role"] == "user")
    for index in answers:
        before = model.render(messages[:index], tools, prompt=True)
        after = model.render(messages[: index + 1], tools)
        if not whole.startswith(after) or not after.startswith(before) or len(before) < done:
            return None
        _add(pieces, model, whole[done : len(before)], trained=False)
        _add(pieces, model, whole[len(before) : len(after)], trained=True)
        done = len(after)
    _add(pieces, model, whole[done:], trained=False)
    if pieces[-1].trained and model.eos and model.eos not in pieces[-1].text:
        _add(pieces, model, model.eos, trained=True)
    return pieces


def _left_out(messages: Sequence[Mapping[str, Any]], tools: Any, pieces: Sequence[Piece]) -> str:
    """What of tools the text does not even name."""
    text = "".join(piece.text for piece in pieces)
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    named = {"tools": tools if isinstance(tools, list) else [], "tool calls": calls}
    return ", ".join(
        what
        for what, listed in named.items()
        if listed and not any(str(each["function"]["name"]) in text for each in listed)
    )


def _add(pieces: list[Piece], model: OpenModel, text: str, *, trained: bool) -> None:
    if text:
        label = "learned" if trained else "read"
        pieces.append(Piece(text, trained, model.count(text), label))
