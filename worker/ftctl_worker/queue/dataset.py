"""Training files: one chat example per line, read as a stream and checked line by line."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker import strictjson
from ftctl_worker.errors import TrainingDataError
from ftctl_worker.messages import MessageError, plain_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ftctl_worker.job import Method

__all__ = [
    "MAX_LINE_BYTES", "Example", "Item", "Preference", "count_examples", "read_examples",
    "read_items", "read_preferences",
]  # fmt: skip

MAX_LINE_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Example:
    """One training row: messages for the chat template, and the one-based line it came from."""

    line: int
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Two answers to the same input, each as an example that learns that answer only."""

    preferred: Example
    other: Example


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prompt to be answered and graded; ``row`` is the whole line, for the grader."""

    line: int
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    row: dict[str, Any]


def read_examples(path: Path) -> Iterator[Example]:
    """Yield the examples of a JSONL file; memory use does not grow with the file.

    Raises:
        TrainingDataError: the file is gone, or a line is no chat example; knows the line.
    """
    return (_example(row, line) for row, line in _objects(path))


def read_preferences(path: Path) -> Iterator[Preference]:
    """Yield the preferences of a JSONL file, like :func:`read_examples`."""
    return (_preference(row, line) for row, line in _objects(path))


def read_items(path: Path) -> Iterator[Item]:
    """Yield the prompts of a JSONL file, like :func:`read_examples`."""
    return (_item(row, line) for row, line in _objects(path))


def _objects(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise TrainingDataError("The file was deleted before it was used.") from error
    number = 0
    with stream:
        while text := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(text) > MAX_LINE_BYTES:
                raise TrainingDataError("The line is longer than 10 MiB.", line=number)
            if number == 1:
                text = text.removeprefix(codecs.BOM_UTF8)
            if text.strip():
                yield _object(text, number), number


def count_examples(path: Path, method: Method = "supervised") -> int:
    """Check every line, and return how many examples there are.

    Raises:
        TrainingDataError: a line is no chat example, or there is none.
    """
    count = sum(1 for _ in _READERS[method](path))
    if count == 0:
        raise TrainingDataError("The file holds no examples.")
    return count


def _object(text: bytes, line: int) -> dict[str, Any]:
    try:
        row = strictjson.loads(text)
    except strictjson.JsonRefusedError as error:
        raise TrainingDataError(f"not valid JSON: {error}", line=line) from error
    if not isinstance(row, dict):
        raise TrainingDataError("every line must be a JSON object.", line=line)
    return row


def _preference(row: dict[str, Any], line: int) -> Preference:
    given = row.get("input")
    if not isinstance(given, dict):
        raise TrainingDataError("'input' must be an object (at /input)", line=line)
    before = [
        {**message, "weight": 0} if message["role"] == "assistant" else message
        for message in _messages(given, "messages", line, "/input")
    ]
    tools = _tools(given, line)
    return Preference(
        preferred=_answer(row, "preferred_output", before, tools, line),
        other=_answer(row, "non_preferred_output", before, tools, line),
    )


def _answer(
    row: dict[str, Any],
    name: str,
    before: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    line: int,
) -> Example:
    messages = _messages(row, name, line)
    if not any(message["role"] == "assistant" for message in messages):
        raise TrainingDataError(f"'{name}' holds no assistant message (at /{name})", line=line)
    return Example(line=line, messages=[*before, *messages], tools=tools)


def _messages(row: dict[str, Any], name: str, line: int, base: str = "") -> list[dict[str, Any]]:
    try:
        return plain_messages(row.get(name))
    except MessageError as error:
        pointer = error.pointer.replace("/messages", f"{base}/{name}", 1)
        text = str(error).replace("'messages'", f"'{name}'")
        raise TrainingDataError(f"{text} (at {pointer})", line=line) from error


def _tools(row: dict[str, Any], line: int) -> list[dict[str, Any]] | None:
    name = "functions" if row.get("tools") is None else "tools"
    tools = row.get(name)
    if tools is None:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise TrainingDataError(f"'{name}' must be a list of objects (at /{name})", line=line)
    return tools if name == "tools" else [{"type": "function", "function": t} for t in tools]


def _example(row: dict[str, Any], line: int) -> Example:
    messages = _messages(row, "messages", line)
    learned = [m for m in messages if m["role"] == "assistant" and m.get("weight", 1)]
    if not learned:
        raise TrainingDataError("no assistant message to learn from.", line=line)
    return Example(line=line, messages=messages, tools=_tools(row, line))


def _item(row: dict[str, Any], line: int) -> Item:
    messages = _messages(row, "messages", line)
    if messages[-1]["role"] != "user":
        raise TrainingDataError(
            "the last message must be the user's, since the model is to answer it "
            f"(at /messages/{len(messages) - 1}/role)",
            line=line,
        )
    return Item(line=line, messages=messages, tools=_tools(row, line), row=row)


_READERS: dict[Method, Callable[[Path], Iterator[object]]] = {
    "supervised": read_examples,
    "dpo": read_preferences,
    "reinforcement": read_items,
}
