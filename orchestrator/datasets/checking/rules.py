"""What a schema cannot say: turns, answers, weights and tool calls, over typed rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import UNSET

from orchestrator.datasets.checking.images import image_reason
from orchestrator.datasets.checking.toolbox import call_flaws
from orchestrator.datasets.content.texts import content_flaws, texts_of
from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import (
    ROLES,
    Answer,
    Assistant,
    Chat,
    Developer,
    Function,
    ImagePart,
    Preference,
    System,
    Tool,
    User,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.datasets.checking.limits import Limits
    from orchestrator.datasets.checking.toolbox import Declared
    from orchestrator.datasets.records import Message, Reinforcement, Row

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def row_flaws(
    row: Row, declared: Declared | None, limits: Limits, *, content: bool = True
) -> Iterator[Flaw]:
    """Everything the rules have against a row that the schema accepts.

    Args:
        row: the typed row.
        declared: what its tools (or functions) declare; None when it has none.
        limits: of the target.
        content: also look into the texts.
    """
    if content:
        yield from texts_flaws(row)
    if isinstance(row, Preference):
        yield from _preference(row, declared, limits)
        return
    base = "/functions" if isinstance(row, Chat) and row.functions is not UNSET else "/tools"
    yield from _declarations(declared, base)
    if base == "/functions":
        yield Flaw("functions-deprecated", "/functions")
    if isinstance(row, Chat):
        yield from _turns_of_a_chat(row.messages)
    else:
        yield from _turns_of_a_prompt(row)
    yield from _messages(row.messages, declared, "/messages", limits)


def texts_flaws(row: Row) -> Iterator[Flaw]:
    """Everything that is wrong with the texts of a row."""
    for messages, base in _messages_of(row):
        for index, message in enumerate(messages):
            yield from content_flaws(message, f"{base}/{index}", ROLES[type(message)])


def _messages_of(row: Row) -> list[tuple[Sequence[Message | Answer], str]]:
    if not isinstance(row, Preference):
        return [(row.messages, "/messages")]
    return [
        (row.input.messages, "/input/messages"),
        (row.preferred_output, "/preferred_output"),
        (row.non_preferred_output, "/non_preferred_output"),
    ]


def is_instruction(message: object) -> bool:
    """Whether a message is from system or developer."""
    return isinstance(message, System | Developer)


def is_answer(message: object) -> bool:
    """Whether a message is from the assistant."""
    return isinstance(message, Assistant | Answer)


def _declarations(declared: Declared | None, base: str) -> Iterator[Flaw]:
    if declared is not None:
        for flaw in declared.flaws:
            yield flaw._replace(pointer=base + flaw.pointer)


def _preference(row: Preference, declared: Declared | None, limits: Limits) -> Iterator[Flaw]:
    yield from _declarations(declared, "/input/tools")
    messages = row.input.messages
    if is_answer(messages[-1]):
        yield Flaw(
            "last-not-user", f"/input/messages/{len(messages) - 1}/role", {"role": "assistant"}
        )
    elif not any(isinstance(message, User) for message in messages):
        yield Flaw("no-user-message", "/input/messages")
    yield from _order(messages, "/input/messages")
    yield from _messages(messages, declared, "/input/messages", limits)
    for key, output in (
        ("/preferred_output", row.preferred_output),
        ("/non_preferred_output", row.non_preferred_output),
    ):
        yield from _messages(output, declared, key, limits)
    if row.preferred_output == row.non_preferred_output:
        yield Flaw("same-outputs", "/non_preferred_output")


def _turns_of_a_prompt(row: Reinforcement) -> Iterator[Flaw]:
    last = len(row.messages) - 1
    role = ROLES[type(row.messages[last])]
    if not any(isinstance(message, User) for message in row.messages):
        yield Flaw("no-user-message", "/messages")
    elif role not in {"user", "tool"}:
        yield Flaw("last-not-user", f"/messages/{last}/role", {"role": role})
    yield from _order(row.messages, "/messages")


def _turns_of_a_chat(messages: Sequence[Message]) -> Iterator[Flaw]:
    asked = any(isinstance(message, User) for message in messages)
    answered = any(isinstance(message, Assistant) for message in messages)
    last = len(messages) - 1
    role = ROLES[type(messages[last])]
    if not asked and not answered:
        yield Flaw("only-instructions", "/messages")
    elif not asked:
        yield Flaw("no-user-message", "/messages")
    elif not answered:
        yield Flaw("no-assistant-message", "/messages")
    elif role != "assistant":
        yield Flaw("last-not-assistant", f"/messages/{last}/role", {"role": role})
    yield from _order(messages, "/messages")
    yield from _weights(messages)


def _order(messages: Sequence[Message], base: str) -> Iterator[Flaw]:
    started = False
    previous = ""
    for index, message in enumerate(messages):
        role = ROLES[type(message)]
        where = f"{base}/{index}/role"
        if is_instruction(message):
            if started:
                yield Flaw("system-not-first", where, {"role": role})
            elif index:
                yield Flaw("system-twice", where, {"role": role})
        else:
            started = True
            if (
                role == previous
                and role in {"user", "assistant"}
                and not _waits(messages[index - 1])
            ):
                yield Flaw("role-repeats", where, {"role": role})
        previous = role


def _waits(message: Message) -> bool:
    """A call that was not answered is an error of its own."""
    return isinstance(message, Assistant) and (
        message.tool_calls is not UNSET or bool(message.function_call)
    )


def _weights(messages: Sequence[Message]) -> Iterator[Flaw]:
    weights = [
        (index, message.weight)
        for index, message in enumerate(messages)
        if isinstance(message, Assistant)
    ]
    if weights and all(weight == 0 for _, weight in weights):
        yield Flaw("nothing-to-learn", f"/messages/{weights[-1][0]}/weight")


def _messages(
    messages: Sequence[Message | Answer], declared: Declared | None, base: str, limits: Limits
) -> Iterator[Flaw]:
    images = 0
    for index, message in enumerate(messages):
        where = f"{base}/{index}"
        if isinstance(message, Assistant | Answer):
            yield from _answer(message, where)
        elif isinstance(message, User) and isinstance(message.content, list):
            images += sum(isinstance(part, ImagePart) for part in message.content)
            yield from _unusable(message.content, f"{where}/content")
        role = ROLES[type(message)]
        if limits.roles is not None and role not in limits.roles:
            fields = {"role": role, "target": limits.target, "instead": _INSTEAD.get(role, "user")}
            # Supervised rows with a developer message are about; nobody was seen refusing one.
            code = "developer-role" if (base, role) == ("/messages", "developer") else None
            yield Flaw(code or "role-not-taken", f"{where}/role", fields)
        name = message.name
        if name is not UNSET and not isinstance(message, Function) and not NAME.fullmatch(name):
            yield Flaw("name-characters", f"{where}/name")
    yield from _images(images, base, limits)
    yield from _calls(messages, declared, base)


_INSTEAD = {"developer": "system", "system": "developer", "function": "tool"}


def _unusable(parts: Sequence[object], where: str) -> Iterator[Flaw]:
    for number, part in enumerate(parts):
        if isinstance(part, ImagePart) and (reason := image_reason(part.image_url.url)):
            yield Flaw("image-unusable", f"{where}/{number}/image_url/url", {"reason": reason})


def _answer(message: Assistant | Answer, where: str) -> Iterator[Flaw]:
    calls = message.tool_calls is not UNSET or bool(message.function_call)
    if message.content is None or message.content is UNSET:
        if not calls and not message.refusal:
            yield Flaw("assistant-says-nothing", where)
    elif not calls and not message.refusal and not "".join(texts_of(message)).strip():
        yield Flaw("assistant-empty", f"{where}/content")


def _images(images: int, base: str, limits: Limits) -> Iterator[Flaw]:
    most = limits.max_images_per_row
    if images and most == 0:
        yield Flaw("images-not-taken", base, {"target": limits.target})
    elif most is not None and images > most:
        fields = {"found": images, "most": most, "target": limits.target}
        yield Flaw("too-many-images", base, fields)


def _calls(
    messages: Sequence[Message | Answer], declared: Declared | None, base: str
) -> Iterator[Flaw]:
    """Follow every call to its reply. Calls of the last message wait for no one."""
    seen: set[str] = set()
    waiting: dict[str, str] = {}
    asked = False
    for index, message in enumerate(messages):
        where = f"{base}/{index}"
        if isinstance(message, Tool):
            yield from _reply(message, where, waiting, asked=asked)
            continue
        if isinstance(message, Function) and not (index and _calls_function(messages[index - 1])):
            yield Flaw("tool-reply-unasked", where)
        yield from _unanswered(waiting)
        waiting, asked = {}, False
        if not isinstance(message, Assistant | Answer):
            continue
        if message.function_call:
            if declared is None:
                yield Flaw("no-tools-declared", f"{where}/function_call")
            yield from call_flaws(
                message.function_call,
                declared.parameters if declared else None,
                f"{where}/function_call",
            )
        if message.tool_calls is not UNSET:
            asked = True
            if declared is None:
                yield Flaw("no-tools-declared", f"{where}/tool_calls")
            for number, call in enumerate(message.tool_calls):
                at = f"{where}/tool_calls/{number}"
                if call.id in seen:
                    yield Flaw("tool-call-id-repeats", f"{at}/id", {"id": call.id})
                waiting.setdefault(call.id, f"{at}/id")
                seen.add(call.id)
                parameters = declared.parameters if declared else None
                yield from call_flaws(call.function, parameters, f"{at}/function")
    if messages and isinstance(messages[-1], Tool):
        yield from _unanswered(waiting)


def _calls_function(message: Message | Answer) -> bool:
    return isinstance(message, Assistant) and bool(message.function_call)


def _reply(message: Tool, where: str, waiting: dict[str, str], *, asked: bool) -> Iterator[Flaw]:
    if message.tool_call_id in waiting:
        del waiting[message.tool_call_id]
    elif not asked:
        yield Flaw("tool-reply-unasked", where)
    else:
        is_open = f"Use the id of an open call ({', '.join(waiting)})"
        mend = is_open if waiting else "Remove the message: every call is answered"
        fields = {"id": message.tool_call_id, "mend": mend}
        yield Flaw("tool-reply-unknown", f"{where}/tool_call_id", fields)


def _unanswered(waiting: dict[str, str]) -> Iterator[Flaw]:
    for identifier, pointer in waiting.items():
        yield Flaw("tool-reply-missing", pointer, {"id": identifier})


def texts_of_row(row: Row, *, asked_only: bool = False) -> list[str]:
    """Every text of a row, in order; of its users alone where only what is asked counts."""
    return [
        text
        for messages, _ in _messages_of(row)
        for message in messages
        if not asked_only or isinstance(message, User)
        for text in texts_of(message)
    ]
