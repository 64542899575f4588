"""The rows of a training file as typed records: the fast way to accept a row.

What these records accept, the published schemas accept (a test proves it); what they refuse is
read again, slowly, and explained.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType


class TextPart(Struct, tag_field="type", tag="text", forbid_unknown_fields=True, gc=False):
    """A piece of text."""

    text: str


class PlainPart(Struct, forbid_unknown_fields=True, gc=False):
    """A piece of text where nothing else may stand: here `type` must not be left out."""

    type: Literal["text"]
    text: str


class RefusalPart(Struct, tag_field="type", tag="refusal", forbid_unknown_fields=True, gc=False):
    """A refusal, as the assistant words it."""

    refusal: str


class ImageUrl(Struct, forbid_unknown_fields=True, gc=False):
    """Where an image lies, or the image itself as a data URI."""

    url: str
    detail: Literal["auto", "low", "high"] | UnsetType = UNSET


class ImagePart(Struct, tag_field="type", tag="image_url", forbid_unknown_fields=True, gc=False):
    """An image."""

    image_url: ImageUrl


PlainParts = Annotated[list[PlainPart], Meta(min_length=1)]
UserParts = Annotated[list[TextPart | ImagePart], Meta(min_length=1)]
AssistantParts = Annotated[list[TextPart | RefusalPart], Meta(min_length=1)]


class CalledFunction(Struct, forbid_unknown_fields=True, gc=False):
    """What is called; `arguments` is JSON as a text."""

    name: str
    arguments: str


class ToolCall(Struct, forbid_unknown_fields=True, gc=False):
    """One call of a tool."""

    id: Annotated[str, Meta(min_length=1)]
    function: CalledFunction
    type: Literal["function"]


class System(Struct, tag_field="role", tag="system", forbid_unknown_fields=True, gc=False):
    """Instructions."""

    content: str | PlainParts
    name: str | UnsetType = UNSET


class Developer(Struct, tag_field="role", tag="developer", forbid_unknown_fields=True, gc=False):
    """Instructions, under their newer name."""

    content: str | PlainParts
    name: str | UnsetType = UNSET


class User(Struct, tag_field="role", tag="user", forbid_unknown_fields=True, gc=False):
    """What is asked."""

    content: str | UserParts
    name: str | UnsetType = UNSET


class Assistant(Struct, tag_field="role", tag="assistant", forbid_unknown_fields=True, gc=False):
    """What is answered."""

    content: str | AssistantParts | UnsetType | None = UNSET
    weight: Literal[0, 1] | UnsetType = UNSET
    tool_calls: Annotated[list[ToolCall], Meta(min_length=1)] | UnsetType = UNSET
    refusal: str | UnsetType | None = UNSET
    name: str | UnsetType = UNSET
    function_call: CalledFunction | UnsetType | None = UNSET


class Answer(Struct, forbid_unknown_fields=True, gc=False):
    """An assistant message where nothing else may stand: here `role` must not be left out."""

    role: Literal["assistant"]
    content: str | AssistantParts | UnsetType | None = UNSET
    weight: Literal[0, 1] | UnsetType = UNSET
    tool_calls: Annotated[list[ToolCall], Meta(min_length=1)] | UnsetType = UNSET
    refusal: str | UnsetType | None = UNSET
    name: str | UnsetType = UNSET
    function_call: CalledFunction | UnsetType | None = UNSET


class Tool(Struct, tag_field="role", tag="tool", forbid_unknown_fields=True, gc=False):
    """What a tool answered."""

    tool_call_id: str
    content: str | PlainParts
    name: str | UnsetType = UNSET


class Function(Struct, tag_field="role", tag="function", forbid_unknown_fields=True, gc=False):
    """What a function answered; deprecated."""

    name: str
    content: str | None


Message = System | Developer | User | Assistant | Tool | Function
Messages = Annotated[list[Message], Meta(min_length=1)]


class Chat(Struct, forbid_unknown_fields=True, gc=False):
    """One line of a supervised file. `tools` is read once for all rows that share it."""

    messages: Messages
    tools: Raw | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    functions: Raw | UnsetType = UNSET


class PreferenceInput(Struct, forbid_unknown_fields=True, gc=False):
    """The prompt of a preference pair."""

    messages: Messages
    tools: Raw | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET


Output = Annotated[list[Answer], Meta(min_length=1, max_length=1)]


class Preference(Struct, forbid_unknown_fields=True, gc=False):
    """One line of a preference file."""

    input: PreferenceInput
    preferred_output: Output
    non_preferred_output: Output


class Reinforcement(Struct, gc=False):
    """One line of a reinforcement file; all further keys are the grader's."""

    messages: Messages
    tools: Raw | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET


class DeclaredFunction(Struct, forbid_unknown_fields=True, gc=False):
    """A function the model may call."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
    description: str | UnsetType = UNSET
    parameters: dict[str, object] | UnsetType = UNSET
    strict: bool | None = None


class DeclaredTool(Struct, forbid_unknown_fields=True, gc=False):
    """A tool the model may call."""

    function: DeclaredFunction
    type: Literal["function"]


Row = Chat | Preference | Reinforcement

ROLES: dict[type, str] = {
    System: "system",
    Developer: "developer",
    User: "user",
    Assistant: "assistant",
    Answer: "assistant",
    Tool: "tool",
    Function: "function",
}
