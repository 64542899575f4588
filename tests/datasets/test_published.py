"""What is accepted for OpenAI satisfies OpenAI's own description of a line, whatever came before it."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

from orchestrator.datasets.checking.validation import Validation, validate
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
