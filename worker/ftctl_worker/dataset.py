"""Training files: one chat example per line, read as a stream and checked line by line."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker import strictjson
from ftctl_worker.errors import TrainingDataError
from ftctl_worker.messages import MessageError, plain_messages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_LINE_BYTES", "Example", "count_examples", "read_examples"]

MAX_LINE_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Example:
    """One training row: messages for the chat template, and the one-based line it came from."""

    line: int
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None


def read_examples(path: Path) -> Iterator[Example]:
    """Yield the examples of a JSONL file; memory use does not grow with the file.

    Raises:
        TrainingDataError: the file is gone, or a line is no chat example; knows the line.
    """
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
                yield _example(text, number)


def count_examples(path: Path) -> int:
    """Check every line, and return how many examples there are.

    Raises:
        TrainingDataError: a line is no chat example, or there is none.
    """
    count = sum(1 for _ in read_examples(path))
    if count == 0:
        raise TrainingDataError("The file holds no examples.")
    return count


def _example(text: bytes, line: int) -> Example:
    try:
        row = strictjson.loads(text)
    except strictjson.JsonRefusedError as error:
        raise TrainingDataError(f"not valid JSON: {error}", line=line) from error
    if not isinstance(row, dict):
        raise TrainingDataError("every line must be a JSON object.", line=line)
    try:
        messages = plain_messages(row.get("messages"))
    except MessageError as error:
        raise TrainingDataError(f"{error} (at {error.pointer})", line=line) from error
    learned = [m for m in messages if m["role"] == "assistant" and m.get("weight", 1)]
    if not learned:
        raise TrainingDataError("no assistant message to learn from.", line=line)
    tools = row.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise TrainingDataError("'tools' must be a list (at /tools)", line=line)
    return Example(line=line, messages=messages, tools=tools)
