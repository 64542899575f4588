"""Codes for a row that is JSON and not an example, or an example one would not train on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.datasets.findings.finding import Kind, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

_E = Severity.ERROR
_W = Severity.WARNING

_SHAPE: Mapping[str, Kind] = {
    "foreign-dialect": Kind(
        _E,
        "This is a row of {dialect}, not of {expected}.",
        "{mend}",
    ),
    "wrong-method": Kind(
        _E,
        "This is a row for {found}; the file is checked for {expected}.",
        "ftctl validate FILE --method {found}.",
    ),
    "unknown-shape": Kind(
        _E,
        "The row has the keys {keys} and no messages.",
        "{mend}",
    ),
    "missing-key": Kind(_E, "{key} is missing.", "Add {key}."),
    "unknown-key": Kind(_E, "The key {key} is not known here.", "{mend}."),
    "wrong-type": Kind(_E, "This is {found}; it must be {expected}.", "Write {expected}."),
    "wrong-value": Kind(_E, "{found} is not allowed; it must be {expected}.", "Write {expected}."),
    "null-value": Kind(_E, "null is not allowed here.", "Leave the key out."),
    "too-many-items": Kind(_E, "There are {found} items; {most} at most.", "Keep {most}."),
    "messages-empty": Kind(_E, "There are no messages.", "Add what is asked and answered."),
    "message-not-object": Kind(
        _E,
        "The message is {found}, not an object.",
        'Write {{"role": "user", "content": "..."}}.',
    ),
    "role-missing": Kind(
        _E, "The message has no role.", "Add a role: system, developer, user, assistant or tool."
    ),
    "unknown-role": Kind(_E, "The role {found} is not known here.", "Write {expected}."),
    "developer-role": Kind(
        Severity.INFO,
        "The published description of {target}'s chat rows has system messages, and no developer.",
        "Write {instead} as its role, to be sure.",
    ),
    "role-not-taken": Kind(
        _E, "{target} knows no {role} message in such a row.", "Write {instead} as its role."
    ),
    "content-missing": Kind(_E, "The message has no content.", "Add content."),
    "content-not-text": Kind(
        _E,
        "The content is {found}; it must be a text or a list of parts.",
        "Write the content as a text.",
    ),
    "content-empty-list": Kind(_E, "The list of parts is empty.", "Write the content as a text."),
    "unknown-part": Kind(_E, "A part of the type {found} is not known here.", "Write {expected}."),
    "part-incomplete": Kind(_E, "The part has no {key}.", "Add {key}."),
    "image-not-allowed": Kind(
        _E,
        "An image stands in a message that is not a user's; only users show images.",
        "Move the image to a user message, or describe it in words.",
    ),
    "image-url-not-object": Kind(
        _E, "image_url is {found}.", 'Write {{"url": "..."}} as its value.'
    ),
    "image-unusable": Kind(
        _E,
        "The image cannot be used: {reason}.",
        "Write an https address, or data:image/png;base64, and the bytes of the image in base64.",
    ),
    "images-not-taken": Kind(_E, "{target} trains such rows on text alone.", "Remove the images."),
    "too-many-images": Kind(
        _E, "The row has {found} images; {target} takes {most} at most.", "Keep {most}."
    ),
}

_MEANING: Mapping[str, Kind] = {
    "no-assistant-message": Kind(
        _E, "No message is from the assistant: there is nothing to learn.", "Add the answer."
    ),
    "no-user-message": Kind(_E, "No message is from a user.", "Add what is asked."),
    "only-instructions": Kind(
        _E,
        "The row has instructions alone: no user and no assistant message.",
        "Put the system message into the row of its conversation.",
    ),
    "last-not-assistant": Kind(
        _E,
        "The last message is from {role}; nothing after it is learned.",
        "End the row with the assistant's answer.",
    ),
    "last-not-user": Kind(
        _E,
        "The prompt ends with a message from {role}; the model must be the one to answer.",
        "End the prompt with a user message.",
    ),
    "system-not-first": Kind(
        _E,
        "A {role} message follows messages of the conversation.",
        "Move it to the start of the row.",
    ),
    "system-twice": Kind(
        _W, "A second message with instructions ({role}) follows the first.", "Join the two."
    ),
    "role-repeats": Kind(_W, "Two {role} messages follow each other.", "Join the two."),
    "assistant-empty": Kind(
        _E, "The assistant's answer is empty.", "Write the answer, or drop the row."
    ),
    "assistant-says-nothing": Kind(
        _E,
        "The assistant message has neither content nor tool_calls.",
        "Write the answer, or drop the row.",
    ),
    "message-empty": Kind(_W, "The {role} message is empty.", "Write it, or leave it out."),
    "weight-not-on-assistant": Kind(
        _E, "Only assistant messages have a weight.", "Remove the weight."
    ),
    "weight-value": Kind(_E, "The weight is {found}; it must be 0 or 1.", "Write 0 or 1."),
    "nothing-to-learn": Kind(
        _E, "Every assistant message has weight 0.", "Give the last one weight 1."
    ),
    "name-characters": Kind(
        _W,
        "The name has other characters than a-z A-Z 0-9 _ -, or more than 64.",
        "Write a plain name.",
    ),
    "same-outputs": Kind(
        _W, "Both outputs are the same: the pair teaches nothing.", "Drop the row."
    ),
    "example-too-long": Kind(
        _W,
        "The example has {found} tokens; {target} reads {most} and cuts the rest off.",
        "Shorten the example, or split it.",
    ),
}

_TOOLS: Mapping[str, Kind] = {
    "functions-deprecated": Kind(
        _W,
        "functions and function_call are deprecated.",
        "ftctl convert FILE -o OUT.jsonl writes tools and tool_calls.",
    ),
    "function-without-name": Kind(
        _E, "The function message has no name.", "Add the name of the function that was called."
    ),
    "tools-not-array": Kind(_E, "tools is {found}, not an array.", "Write the array itself."),
    "tool-not-wrapped": Kind(
        _E,
        "The tool is not wrapped.",
        'Write {{"type": "function", "function": {{...}}}}.',
    ),
    "tool-name": Kind(
        _E,
        "The tool's name {found} must have a-z A-Z 0-9 _ - alone, and 64 at most.",
        "Rename the tool, here and in its calls.",
    ),
    "tool-parameters": Kind(
        _W,
        "The parameters of {name} are no JSON Schema: {reason}.",
        "Mend the declaration; hosts that look into it refuse it.",
    ),
    "tool-name-repeats": Kind(
        _E, "The tool {name} is declared twice.", "Remove one of the two declarations."
    ),
    "tool-calls-empty": Kind(_E, "tool_calls is empty.", "Leave tool_calls out."),
    "tool-call-incomplete": Kind(
        _E,
        "The tool call has no {key}.",
        'Write {{"id": "...", "type": "function", "function": {{...}}}}.',
    ),
    "tool-call-id-missing": Kind(
        _E, "The tool message does not say which call it answers.", "Add tool_call_id."
    ),
    "tool-call-id-repeats": Kind(_E, "The call id {id} is used twice.", "Give it another id."),
    "tool-reply-missing": Kind(
        _E, "The tool call {id} has no reply.", "Add a tool message with that tool_call_id."
    ),
    "tool-reply-unasked": Kind(
        _E,
        "A tool message answers no call.",
        "Put the assistant's tool_calls before it.",
    ),
    "tool-reply-unknown": Kind(_E, "tool_call_id {id} matches no open call.", "{mend}."),
    "arguments-not-text": Kind(
        _E,
        "arguments is {found}; it must be JSON as a text.",
        "Write json.dumps(arguments).",
    ),
    "arguments-not-json": Kind(
        _E, "arguments is not strict JSON: {reason}.", "Write json.dumps(arguments)."
    ),
    "arguments-not-object": Kind(
        _E,
        "arguments is JSON, but {found}; it must be an object.",
        'Write an object; "{{}}" for none.',
    ),
    "arguments-encoded-twice": Kind(
        _E,
        "arguments is JSON of a text that is JSON again.",
        "Call json.dumps once.",
    ),
    "arguments-against-schema": Kind(
        _W, "The arguments do not satisfy the tool's parameters: {reason}.", "Mend either."
    ),
    "tool-not-declared": Kind(_E, "The called tool {name} is not declared.", "Declare it{near}."),
    "no-tools-declared": Kind(
        _W, "A tool is called, and the row declares none.", "Add tools to the row."
    ),
}

_CONTENT: Mapping[str, Kind] = {
    "special-token": Kind(
        _W,
        "The text holds {found}, a special token of a model; some hosts fail the job on it.",
        "Remove it, or write it in other words.",
    ),
    "edge-whitespace": Kind(
        _W, "The text starts or ends with whitespace.", "Strip it; the model learns it otherwise."
    ),
    "control-in-text": Kind(_W, "The text holds the control character U+{found:04X}.", "{mend}"),
    "invisible-character": Kind(
        _W,
        "The text holds the invisible or direction-changing character U+{found:04X}.",
        "Remove it.",
    ),
    "not-nfc": Kind(
        _W,
        "Letters and their accents are stored apart (not Unicode NFC).",
        "Normalise: unicodedata.normalize('NFC', text).",
    ),
    "mojibake": Kind(
        _W,
        "The text was read in the wrong encoding: {found}.",
        "Read the source as UTF-8 and write the row again.",
    ),
    "secret": Kind(
        _W,
        "This looks like {found}.",
        "Remove it, and revoke it if it is real: a tuned model repeats what it read.",
    ),
    "personal-data": Kind(
        _W, "This looks like {found}.", "Replace it by an invented value, or get consent."
    ),
}

ROW_KINDS: Mapping[str, Kind] = {**_SHAPE, **_MEANING, **_TOOLS, **_CONTENT}
