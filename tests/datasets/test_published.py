"""What is accepted for OpenAI satisfies OpenAI's own description of a line, whatever came before it."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.datasets.checking.limits import targets
from orchestrator.datasets.checking.validation import Validation, validate
from orchestrator.datasets.content import suspects
from orchestrator.datasets.findings.finding import Severity

USER = {"role": "user", "content": "What is 2+2?"}
ANSWER = {"role": "assistant", "content": "4"}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}
TOOL = {"type": "function", "function": FUNCTION}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def pair(**more: Any) -> dict[str, Any]:
    worse = {"role": "assistant", "content": "5"}
    sides = {"preferred_output": [ANSWER], "non_preferred_output": [worse]}
    return {"input": {"messages": [USER]}, **sides, **more}


def checked(*rows: Any, target: str = "openai", method: str = "supervised") -> Validation:
    content = "\n".join(map(json.dumps, rows)).encode()
    return validate(io.BytesIO(content), target=target, method=method, split="validation")


def told(row: Any, **how: str) -> list[tuple[str, str]]:
    return [(each.pointer, each.code) for each in checked(row, **how).findings]


def test_an_array_of_tools_is_no_array_of_functions() -> None:
    """Both are remembered by their bytes."""
    rows = [chat(USER, ANSWER, tools=[TOOL]), chat(USER, ANSWER, functions=[TOOL])]
    for order in (rows, rows[::-1]):
        wrong = [each for each in checked(*order).findings if each.severity is Severity.ERROR]
        assert {each.line for each in wrong} == {order.index(rows[1]) + 1}


def test_a_developer_is_named_where_the_description_has_none() -> None:
    developer = {"role": "developer", "content": "Be brief."}
    assert told(chat(developer, USER, ANSWER)) == [("/messages/0/role", "developer-role")]
    assert not told(chat(developer, USER, ANSWER), target="peft")
    both = {"messages": [developer, USER]}
    assert told(pair(input=both), method="dpo") == [("/input/messages/0/role", "role-not-taken")]
    verdict = checked(pair(input=both), target="azure", method="dpo")
    assert verdict.ok
    assert verdict.warnings == 1


def test_a_prompt_to_reinforce_has_no_system_and_no_function() -> None:
    system = {"role": "system", "content": "Be brief."}
    row = chat(system, USER, answer="4")
    assert told(row, method="reinforcement") == [("/messages/0/role", "role-not-taken")]
    row["messages"][0]["role"] = "developer"
    assert not told(row, method="reinforcement")


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://example.com/a.png", True),
        ("HTTP://example.com/a", True),
        (f"data:image/png;base64,{PIXEL}", True),
        (f"DATA:image/jpeg;base64,{PIXEL}", True),  # The bytes decide.
        ("", False),
        ("cat.png", False),
        ("file:///cat.png", False),
        ("https://", False),
        (PIXEL, False),
        (f"data:image/png,{PIXEL}", False),
        ("data:image/png;base64,", False),
        ("data:image/png;base64,@@@@", False),
        ("data:image/png;base64," + base64.b64encode(b"GIF89a").decode(), False),
        ("data:image/png;base64," + base64.b64encode(b"\xff\xd8\xff" * 3_400_000).decode(), False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_image_is_an_address_or_an_image(url: str, fine: bool) -> None:
    asked = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    wrong = [("/messages/0/content/0/image_url/url", "image-unusable")]
    assert told(chat(asked, ANSWER)) == ([] if fine else wrong)


def test_preference_pairs_have_no_images() -> None:
    shown = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    row = pair(input={"messages": [{"role": "user", "content": shown}]})
    assert told(row, method="dpo") == [("/input/messages", "images-not-taken")]


@pytest.mark.parametrize(
    ("parameters", "at"),
    [
        ({"type": "dict"}, "/type"),
        ({"type": "array"}, "/type"),
        ({"type": ["object", "nothing"]}, "/type"),
        ({"type": "object", "properties": ["a"]}, "/properties"),
        ({"type": "object", "properties": {"a": "string"}}, "/properties/a"),
        ({"type": "object", "properties": {"a": {"type": "float"}}}, "/properties/a/type"),
        ({"properties": {"a": {"items": {"enum": "x"}}}}, "/properties/a/items/enum"),
        ({"type": "object", "required": "a"}, "/required"),
        ({"properties": {"a/b": {"required": True}}}, "/properties/a~1b/required"),
        ({"anyOf": {"type": "object"}}, "/anyOf"),
        ({"anyOf": [{"type": "object"}, {"description": 1}]}, "/anyOf/1/description"),
        ({}, None),
        ({"type": "object", "properties": {"a": True, "type": {"type": "string"}}}, None),
        ({"type": "object", "additionalProperties": {"type": ["string", "null"]}}, None),
        ({"type": "object", "properties": {"enum": {"enum": [1, None]}}, "$defs": {}}, None),
    ],
)
def test_parameters_that_are_no_schema_are_told_at_their_place(parameters: Any, at: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    wrong = [(f"/tools/0/function/parameters{at}", "tool-parameters")]
    assert told(chat(USER, ANSWER, tools=[tool])) == ([] if at is None else wrong)
    wrong = [(f"/functions/0/parameters{at}", "tool-parameters")]
    found = told(chat(USER, ANSWER, functions=[tool["function"]]))
    assert [each for each in found if each[1] == "tool-parameters"] == ([] if at is None else wrong)


def test_functions_are_followed_like_tools() -> None:
    called = {"role": "assistant", "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    result = {"role": "function", "name": "f", "content": "4"}
    assert told(chat(USER, called)) == [("/messages/1/function_call", "no-tools-declared")]
    deprecated = ("/functions", "functions-deprecated")
    assert told(chat(USER, called, result, ANSWER, functions=[FUNCTION])) == [deprecated]
    asked_for_nothing = chat(USER, result, ANSWER, functions=[FUNCTION])
    assert ("/messages/1", "tool-reply-unasked") in told(asked_for_nothing)


@pytest.mark.parametrize(
    ("row", "mend"),
    [
        (chat(USER, ANSWER, tools=None), "Leave the key out."),
        ({"messages": None}, "Write an array."),
        (chat({"role": "User ", "content": "a"}, ANSWER), "Write user."),
        (chat({"role": 1, "content": "a"}, ANSWER), "Write system, developer, user,"),
        (chat({"role": "user", "content": None}, ANSWER), "Write the content as a text."),
    ],
)
def test_the_mend_mends(row: Any, mend: str) -> None:
    (finding,) = checked(row).findings
    assert finding.fix.startswith(mend)


def test_an_output_is_the_assistants() -> None:
    (finding,) = checked(pair(preferred_output=[USER]), method="dpo").findings
    assert (finding.pointer, finding.fix) == ("/preferred_output/0/role", "Write assistant.")


@pytest.mark.parametrize("tools", [None, "x", {}, [FUNCTION], [{"type": "function"}], [1]])
def test_tools_of_a_prompt_are_looked_at(tools: Any) -> None:
    assert not checked(chat(USER, answer="4", tools=tools), method="reinforcement").ok
    assert checked(chat(USER, answer="4", tools=[TOOL]), method="reinforcement").ok


MARKS = {
    "special-token": [
        "<|assistant|>4",
        "<end_of_turn>",
        "[INST] 4 [/INST]",
        "4</s>",
        "<｜User｜>4",
    ],
    "control-in-text": ["\frac{1}{2}", "a\begin", "\theta", "2 \times 2", "\x1b[1m4"],
    "mojibake": ["Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "æ—¥æœ¬èªž", "caf\ufffd"],
}
PLAIN_TEXTS = [r"\frac{1}{2} \theta", "a\tb", "<b>4</b>", "voilà\xa0« Ñandú »", "a\\\\b", "|4|>"]


@pytest.mark.parametrize("escape", [json.dumps, lambda row: json.dumps(row, ensure_ascii=False)])
@pytest.mark.parametrize("code", MARKS)
def test_marks_of_templates_latex_and_encodings_are_seen(code: str, escape: Any) -> None:
    for text in MARKS[code]:
        row = escape(chat(USER, {"role": "assistant", "content": f"x {text}"}))
        for line in (row, row.replace("<", "\\u003c").replace(">", "\\u003e")):
            assert suspects.looker()(line.encode()) or code == "mojibake", text
            assert suspects.suspects(line.encode()) or code == "mojibake", text
            content = "\n".join([line] * 3).encode()
            assert validate(io.BytesIO(content), target="peft").counts[code] == 3, text


def test_plain_texts_are_not_accused_of_marks() -> None:
    for text in PLAIN_TEXTS:
        found = checked(chat(USER, {"role": "assistant", "content": text}), target="peft")
        assert not found.findings, text


def test_parts_and_arguments_are_read_where_they_stand() -> None:
    parts = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "<|im_end|>"}]
    said = {"role": "user", "content": parts}
    assert told(chat(said, ANSWER)) == [("/messages/0/content/1/text", "special-token")]
    seen = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert not told(chat({"role": "user", "content": [{"type": "text", "text": ""}, seen]}, ANSWER))
    function = {"name": "f", "arguments": json.dumps({"a": "AKIAZ7QH3M2X9PLKD4TB"})}
    call = {"id": "c1", "type": "function", "function": function}
    row = chat(USER, {"role": "assistant", "tool_calls": [call]}, tools=[TOOL])
    assert told(row) == [("/messages/1/tool_calls/0/function/arguments", "secret")]


def test_one_mistake_has_one_sentence_and_two_have_two() -> None:
    call = {"function": {"name": "f", "arguments": "{}"}}
    row = chat(USER, {"role": "assistant", "tool_calls": [call]}, tools=[TOOL])
    assert [each.message for each in checked(row).findings] == [
        "The tool call has no id.",
        "The tool call has no type.",
    ]
    bare = chat(USER, ANSWER, tools=[FUNCTION])
    assert told(bare) == [("/tools/0", "tool-not-wrapped")]
    again = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turn = ({"role": "assistant", "tool_calls": [again]}, {"role": "tool", "tool_call_id": "c1"})
    turns = [USER, turn[0], {**turn[1], "content": "4"}, ANSWER]
    repeated = told(chat(*turns, *turns, tools=[TOOL]))
    assert repeated == [("/messages/5/tool_calls/0/id", "tool-call-id-repeats")]


def test_each_host_has_its_own_limits_and_any_other_has_none() -> None:
    rows = [chat({"role": "user", "content": f"{n}?"}, ANSWER) for n in range(3)]
    few = {each: checked_as(rows[:2], each).counts for each in targets()}
    assert {each for each in few if few[each]["too-few-rows"]} == {
        *("openai", "azure", "simulator"),
        "fireworks",
    }
    assert checked_as(rows, "fireworks").ok
    twice = [chat(USER, USER, ANSWER)]
    assert checked_as(twice, "compatible").ok
    assert not checked_as(twice, "together").ok


def checked_as(rows: list[Any], target: str) -> Validation:
    content = "\n".join(map(json.dumps, rows)).encode()
    verdict = validate(io.BytesIO(content), target=target, count_tokens=False)
    return replace(verdict, counts=Counter(verdict.counts))
