"""From chat examples to token rows that learn from assistant messages only.

A chat template says where an answer begins without any markers: render the messages before it
with the generation prompt, and check that the whole text starts with that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from ftctl_worker.errors import TrainingDataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftctl_worker.queue.dataset import Example

__all__ = ["Row", "RowCounts", "prompt_text", "render_rows", "row_of"]

Segment = tuple[str, bool]


@dataclass(frozen=True)
class Row:
    """Token ids and, for each of them, whether it is learned; both of the same length."""

    ids: list[int]
    learned: list[bool]


@dataclass
class RowCounts:
    """What happened to the examples on their way to rows."""

    truncated: int = 0
    skipped: int = 0
    toolless: int = 0


def render_rows(
    examples: Iterable[Example], tokenizer: Any, *, max_length: int, eos_ids: set[int]
) -> tuple[list[Row], RowCounts]:
    """Render and tokenize examples; rows longer than ``max_length`` tokens lose their end.

    A row that loses everything it was to learn is left out.

    Raises:
        TrainingDataError: the chat template refuses an example, or no row is left.
    """
    counts = RowCounts()
    rows = []
    for example in examples:
        parts = _segments(example, tokenizer)
        counts.toolless += not _shows_tools(example, parts[0])
        for segments in parts:
            row = _short(_row(segments, tokenizer, eos_ids), max_length, counts)
            if row is not None:
                rows.append(row)
    if not rows:
        raise TrainingDataError(
            f"No example has an answer within {max_length} tokens; shorten what stands before it."
        )
    return rows, counts


def row_of(
    example: Example, tokenizer: Any, *, max_length: int, eos_ids: set[int], counts: RowCounts
) -> Row | None:
    """Return the one row of an example, None where nothing is left to learn.

    Where the template rewrites history, that is the row of the last answer.

    Raises:
        TrainingDataError: the chat template refuses the example.
    """
    segments = _segments(example, tokenizer)[-1]
    counts.toolless += not _shows_tools(example, segments)
    return _short(_row(segments, tokenizer, eos_ids), max_length, counts)


def prompt_text(
    tokenizer: Any, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> str:
    """Render messages up to where the assistant begins to speak.

    Raises:
        TemplateError: the chat template refuses the messages.
    """
    return _render(tokenizer, messages, tools, prompt=True)


def _short(row: Row, max_length: int, counts: RowCounts) -> Row | None:
    short = Row(row.ids[:max_length], row.learned[:max_length])
    if not any(short.learned[1:]):
        counts.skipped += 1
        return None
    counts.truncated += len(row.ids) > max_length
    return short


def _segments(example: Example, tokenizer: Any) -> list[list[Segment]]:
    messages = [{k: v for k, v in m.items() if k != "weight"} for m in example.messages]
    answers = [
        index
        for index, message in enumerate(example.messages)
        if message["role"] == "assistant" and message.get("weight", 1)
    ]
    try:
        whole = _cut(messages, answers, example.tools, tokenizer)
        parts = (
            [_cut(messages[: i + 1], [i], example.tools, tokenizer) for i in answers]
            if whole is None
            else [whole]
        )
    except (TemplateError, TypeError, ValueError) as error:
        message = f"the model's chat template refuses the messages: {error}"
        raise TrainingDataError(message, line=example.line) from error
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        message = "the model's chat template does not show where the answers begin."
        raise TrainingDataError(message, line=example.line)
    _require_calls(example, answers, found)
    return found


def _cut(
    messages: list[dict[str, Any]],
    answers: list[int],
    tools: list[dict[str, Any]] | None,
    tokenizer: Any,
) -> list[Segment] | None:
    """Split the rendered text at its answers; None where the template rewrites history."""
    text = _render(tokenizer, messages, tools)
    segments: list[Segment] = []
    done = 0
    for index in answers:
        before = _render(tokenizer, messages[:index], tools, prompt=True)
        after = _render(tokenizer, messages[: index + 1], tools)
        if not text.startswith(after) or not after.startswith(before) or len(before) < done:
            return None
        segments += [(text[done : len(before)], False), (text[len(before) : len(after)], True)]
        done = len(after)
    if rest := text[done:]:
        segments.append((rest, False))
    return segments


def _require_calls(example: Example, answers: list[int], parts: list[list[Segment]]) -> None:
    """Refuse to teach answers without their calls: many templates drop them without a word."""
    written = [text for part in parts for text, learned in part if learned]
    for index, text in zip(answers, written, strict=True):
        for call in example.messages[index].get("tool_calls") or ():
            if call["function"]["name"] not in text:
                message = (
                    "the model's chat template leaves tool calls out, so the answer would be "
                    "taught without them; choose a model whose template writes them "
                    f"(at /messages/{index}/tool_calls)"
                )
                raise TrainingDataError(message, line=example.line)


def _shows_tools(example: Example, segments: list[Segment]) -> bool:
    names = [tool.get("function", tool).get("name") for tool in example.tools or ()]
    text = "".join(text for text, learned in segments if not learned)
    return all(str(name) in text for name in names)


def _render(
    tokenizer: Any,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    *,
    prompt: bool = False,
) -> str:
    text: str = tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=prompt
    )
    return text


def _row(segments: list[Segment], tokenizer: Any, eos_ids: set[int]) -> Row:
    encoded = tokenizer([text for text, _ in segments], add_special_tokens=False)["input_ids"]
    ids: list[int] = []
    learned: list[bool] = []
    for part, (_, learn) in zip(encoded, segments, strict=True):
        ids += part
        learned += [learn] * len(part)
    ends_with_answer = segments[-1][1]
    if ends_with_answer and eos_ids and not eos_ids.intersection(encoded[-1]):
        ids.append(tokenizer.eos_token_id)
        learned.append(True)
    return Row(ids, learned)
