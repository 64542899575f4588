"""Passages from a folder or a JSONL file, and the prompt that shows them to a model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.canonical import digest
from orchestrator.domain.comparing.retrieval import Passage
from orchestrator.domain.comparing.sample import text_of
from orchestrator.domain.errors import DatasetInvalid, UsageError
from orchestrator.grading.overlap import common
from orchestrator.usecases.comparing.samples import said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.comparing.retrieval import Retriever
    from orchestrator.domain.comparing.sample import Sample

SHOWN = 5
_SPARE = 5
_LONGEST = 1200
_SUFFIXES = {".md", ".txt", ".rst", ".jsonl"}
_TEXT_FIELDS = ("text", "content", "body", "passage")
# A question this short may stand in a document by chance.
_FEWEST_WORDS = 5
_NEAR = 0.9
_RULE = "Use the passages where they help; ignore them where they do not."


class Library(NamedTuple):
    """What a retrieval arm shows.

    Attributes:
        shown: passages by the sample's row.
        note: what the report says about it.
    """

    shown: Mapping[int, Sequence[Passage]]
    note: str

    def around(
        self, messages: Sequence[Mapping[str, Any]], row: int
    ) -> Sequence[Mapping[str, Any]]:
        """A sample's conversation with its passages in front of the last question."""
        return with_passages(messages, self.shown.get(row, ()))


def read_passages(path: Path) -> list[Passage]:
    """Every passage of a folder's texts, or of a JSONL file.

    Raises:
        UsageError: there is nothing to read.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    texts = [file for file in files if file.is_file() and file.suffix.lower() in _SUFFIXES]
    found = [passage for file in texts for passage in _of_file(file)]
    if not found:
        kinds = ", ".join(sorted(_SUFFIXES))
        raise UsageError(f"There are no passages in {path}; it is read for {kinds} files.")
    return found


def library(
    retriever: Retriever, passages: Sequence[Passage], samples: Sequence[Sample], name: str
) -> Library:
    """Find each sample's passages, leaving out those that hold the sample itself."""
    shown, leaked = {}, 0
    for sample in samples:
        found = retriever.search(sample.asked, SHOWN + _SPARE)
        clean = [passage for passage in found if not holds(passage, sample)]
        leaked += len(found) - len(clean)
        shown[sample.row] = clean[:SHOWN]
    marks = digest([list(passage) for passage in passages])[:12]
    left_out = f", {leaked} that hold a test row left out" if leaked else ""
    return Library(
        shown, f"best {SHOWN} of {len(passages)} passages of {name} by BM25{left_out}; {marks}"
    )


def holds(passage: Passage, sample: Sample) -> bool:
    """Whether a passage gives the sample away: its question word for word, or nearly the whole."""
    asked, text = said(sample), " ".join(passage.text.casefold().split())
    if len(asked.split()) >= _FEWEST_WORDS and asked in text:
        return True
    size = len(asked) + len(text)
    # Lengths that differ this much cannot be near each other.
    if not size or 2 * min(len(asked), len(text)) / size < _NEAR:
        return False
    return 2 * common(asked, text) / size >= _NEAR


def with_passages(
    messages: Sequence[Mapping[str, Any]], passages: Sequence[Passage]
) -> Sequence[Mapping[str, Any]]:
    """Passages at the head of the last question, so that roles still alternate."""
    if not passages or not messages:
        return messages
    numbered = [f"[{place}] {passage.text}" for place, passage in enumerate(passages, 1)]
    shown = "\n\n".join(["Passages:", *numbered, _RULE]) + "\n\n"
    last = messages[-1]
    content = last.get("content")
    if isinstance(content, list):
        asked: Any = [{"type": "text", "text": shown}, *content]
    else:
        asked = shown + str(content or "")
    return [*messages[:-1], {**last, "content": asked}]


def _of_file(path: Path) -> Iterator[Passage]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetInvalid(f"{path} is not UTF-8.") from error
    if path.suffix.lower() != ".jsonl":
        yield from _cut(path.name, text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield from _cut(f"{path.name}:{number}", _of_row(path, number, line))


def _of_row(path: Path, number: int, line: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetInvalid(f"Line {number} of {path} is not JSON.") from error
    if isinstance(row, str):
        return row
    if not isinstance(row, dict):
        raise DatasetInvalid(f"Line {number} of {path} is neither a text nor an object.")
    if isinstance(row.get("messages"), list):
        turns = [m for m in row["messages"] if isinstance(m, dict) and m.get("role") != "system"]
        return "\n".join(text_of(turn) for turn in turns)
    for name in _TEXT_FIELDS:
        if isinstance(row.get(name), str):
            title = row.get("title")
            return f"{title}\n{row[name]}" if isinstance(title, str) else str(row[name])
    raise DatasetInvalid(
        f"Line {number} of {path} has no text.", hint=f"name it one of: {', '.join(_TEXT_FIELDS)}"
    )


def _cut(source: str, text: str) -> Iterator[Passage]:
    """Paragraphs, put together up to the size of a passage; longer ones are cut."""
    waiting = ""
    for paragraph in text.split("\n\n"):
        piece = paragraph.strip()
        while len(piece) > _LONGEST:
            at = piece.rfind(" ", 1, _LONGEST)
            at = at if at > 0 else _LONGEST
            yield Passage(source, piece[:at])
            piece = piece[at:].strip()
        if waiting and len(waiting) + len(piece) + 1 > _LONGEST:
            yield Passage(source, waiting)
            waiting = ""
        waiting = f"{waiting}\n{piece}".strip()
    if waiting:
        yield Passage(source, waiting)
