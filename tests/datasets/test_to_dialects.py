"""Out into other dialects and back: nothing is lost that was not named."""

from __future__ import annotations

from typing import Any

import pytest

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
