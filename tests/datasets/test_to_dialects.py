"""Out into other dialects and back: nothing is lost that was not named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.datasets.dialects.conversion import Options, convert_record
from orchestrator.datasets.dialects.to_dialects import TARGETS
from orchestrator.domain.errors import UsageError

PLAIN: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 2+2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "Sure?\nReally?"},
        {"role": "assistant", "content": "Yes 😀"},
    ]
}
ONE: dict[str, Any] = {"messages": PLAIN["messages"][1:3]}
TOOLS: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "What is 2+2?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a": 2}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
        {"role": "assistant", "content": "4"},
    ],
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
}


@pytest.mark.parametrize("dialect", list(TARGETS))
def test_plain_turns_come_back_as_they_went(dialect: str) -> None:
    row = ONE if dialect == "openai.completion" else PLAIN
    out = convert_record(row, Options(to=dialect))
    assert out.row is not None, out.refusal
    assert not out.losses
    back = convert_record(out.row, Options())
    assert back.row == row


@pytest.mark.parametrize("dialect", ["sharegpt", "trl.tools", "mistral"])
def test_tool_calls_go_where_they_can(dialect: str) -> None:
    out = convert_record(TOOLS, Options(to=dialect, allow_loss=True))
    assert out.row is not None, out.refusal
    assert out.losses or out.notes
    back = convert_record(out.row, Options(allow_loss=True))
    assert back.row is not None, back.refusal
    assert [each["role"] for each in back.row["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


@pytest.mark.parametrize("dialect", ["alpaca", "anthropic.messages", "gemini.vertex"])
def test_what_a_dialect_cannot_hold_is_refused(dialect: str) -> None:
    assert "tools" in str(convert_record(TOOLS, Options(to=dialect)).refusal)


def test_a_loss_is_named_and_needs_leave() -> None:
    row = {
        "messages": [
            ONE["messages"][0],
            {**ONE["messages"][1], "weight": 0},
            *PLAIN["messages"][3:],
        ]
    }
    refused = convert_record(row, Options(to="sharegpt"))
    assert refused.row is None
    assert "the weight of a message" in str(refused.refusal)
    assert convert_record(row, Options(to="sharegpt", allow_loss=True)).row is not None


def test_a_dialect_that_nothing_writes_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="Nothing here writes"):
        Options(to="klingon")


TEXTS = st.text(min_size=1, max_size=12) | st.sampled_from(
    [
        " 4",
        "4 ",
        "a\n",
        "{}",
        "<image>",
        "\n\nHuman: x",
        "<tool_call>x</tool_call>",
        "USER: x",
        "\ud7ff",
    ]
)
CALLED: Any = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["call_1", "abcdefghi", "x"]),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {
                "name": st.just("add"),
                "arguments": st.sampled_from(["{}", '{"a":2}', '{"a": 2, "b": "é"}', '{"a": 1.0}']),
            }
        ),
    }
)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """Chat rows with all that messages can have."""
    messages: list[Any] = []
    if draw(st.booleans()):
        role = draw(st.sampled_from(["system", "system", "developer"]))
        messages.append({"role": role, "content": draw(TEXTS)})
    row: dict[str, Any] = {"messages": messages}
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXTS)})
        if draw(st.integers(0, 5)) == 0:
            messages[-1]["name"] = "Ann"
        if draw(st.integers(0, 3)) == 0:
            call = draw(CALLED)
            text = draw(st.sampled_from([None, None, "I add."]))
            messages.append({"role": "assistant", "content": text, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": draw(TEXTS)})
            row["tools"] = TOOLS["tools"]
        messages.append({"role": "assistant", "content": draw(TEXTS)})
        if draw(st.integers(0, 4)) == 0:
            messages[-1]["weight"] = draw(st.sampled_from([0, 1]))
    if draw(st.integers(0, 5)) == 0:
        row["parallel_tool_calls"] = draw(st.booleans())
    return row


def without_ids(value: Any) -> Any:
    """A row whose ids were made up or rewritten, and whose arguments were written again."""
    if isinstance(value, list):
        return [without_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in value.items() if key not in {"id", "tool_call_id"}}
    if kept.get("weight") == 1:
        del kept["weight"]  # It says what no weight says.
    if isinstance(kept.get("arguments"), str):
        kept["arguments"] = json.loads(kept["arguments"])
    return {key: without_ids(item) for key, item in kept.items()}


@settings(max_examples=60, deadline=None)
@given(row=rows())
@pytest.mark.parametrize("dialect", list(TARGETS))
def test_what_went_without_a_loss_comes_back_as_it_was(dialect: str, row: dict[str, Any]) -> None:
    before = json.dumps(row)
    out = convert_record(row, Options(to=dialect))
    assert json.dumps(row) == before, "the row was changed on the way"
    if out.row is None:
        assert out.refusal
        return
    back = convert_record(json.loads(json.dumps(out.row)), Options())
    assert back.row is not None, back.refusal
    assert without_ids(back.row) == without_ids(row)


@settings(max_examples=60, deadline=None)
@given(row=rows())
@pytest.mark.parametrize("dialect", list(TARGETS))
def test_a_loss_that_was_allowed_loses_nothing_else(dialect: str, row: dict[str, Any]) -> None:
    out = convert_record(row, Options(to=dialect, allow_loss=True))
    if out.row is None:
        return
    back = convert_record(out.row, Options(allow_loss=True))
    assert back.row is not None, back.refusal
    if "whitespace at the edges of the answer" in out.losses:
        return
    said = [each["content"] for each in row["messages"] if not each.get("tool_calls")]
    kept = [each["content"] for each in back.row["messages"] if not each.get("tool_calls")]
    assert kept == said
