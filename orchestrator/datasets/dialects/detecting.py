"""Which dialect a row is written in, seen from its shape alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.dialects import ALTERNATING, EXCHANGE_KEYS, PAIR_KEYS
from orchestrator.datasets.dialects.from_rendered import turns_of_rendered
from orchestrator.datasets.dialects.traces import answer_in, trace_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def detect(row: Mapping[str, Any]) -> str | None:
    """The dialect of a row; None when its shape is none that is known."""
    for recognise in (_by_marker, _by_messages, _by_prompt):
        if name := recognise(row):
            return name
    if isinstance(row.get("text"), str):
        if turns_of_rendered(row["text"]):
            return "text.rendered"
        return "text.label" if isinstance(row.get("label"), str | int | list) else "text"
    return None


def _by_marker(row: Mapping[str, Any]) -> str | None:
    """Dialects with a key that no other has."""
    if str(row.get("schemaVersion", "")).startswith("bedrock-conversation"):
        return "bedrock.conversation"
    if trace_in(row):
        return "input_output"
    if ("choices" in row or "candidates" in row) and answer_in(row):
        return "openai.answer"
    if dialect := _by_turns(row):
        return dialect
    if isinstance(row.get("contents"), list):
        return "gemini.vertex"
    if isinstance(row.get("item"), dict) and len(row) == 1:
        return "openai.evals_item"
    if "preferred_output" in row or "non_preferred_output" in row:
        return "openai.dpo"
    if "chosen_messages" in row:
        return "llamafactory.v1.preference"
    if isinstance(row.get("interactions"), list):
        return "mistral.interactions"
    return next((name for name, keys in _MARKS if keys <= row.keys()), None)


# Keys that only together mark a dialect.
_MARKS: Sequence[tuple[str, frozenset[str]]] = (
    ("arena", frozenset({"conversation_a", "conversation_b", "winner"})),
    ("cohere.chat", frozenset({"chat_history", "message"})),
    ("axolotl.segments", frozenset({"segments"})),
    ("chatgpt.export", frozenset({"mapping", "title"})),
    ("claude.export", frozenset({"chat_messages", "uuid"})),
    ("messenger", frozenset({"guild", "channel", "messages"})),
    ("messenger", frozenset({"ts", "user", "text", "type"})),
    ("openai.answer", frozenset({"custom_id", "response"})),
    ("openai.evals_ideal", frozenset({"input", "ideal"})),
    ("oasst.tree", frozenset({"message_tree_id", "prompt"})),
    ("oasst.message", frozenset({"message_id", "parent_id", "text"})),
    ("openai.batch", frozenset({"custom_id", "body"})),
    ("messages.rejected", frozenset({"messages", "rejected_message"})),
    ("messages.rejected", frozenset({"messages", "rejected_response"})),
    ("xlam", frozenset({"query", "tools", "answers"})),
    ("compared", frozenset({"response_0", "response_1", "better_response_id"})),
    ("compared", frozenset({"response1", "response2", "overall_preference"})),
    ("compared", frozenset({"human_ref_A", "human_ref_B", "labels"})),
)


def _by_turns(row: Mapping[str, Any]) -> str | None:
    """Dialects of a list of turns that is not called messages."""
    for key in ALTERNATING:
        listed = row.get(key)
        if isinstance(listed, list) and listed and all(isinstance(each, str) for each in listed):
            return "alternating"
    for key in ("conversations", "conversation"):
        if isinstance(row.get(key), list) and row[key] and all(map(_is_exchange, row[key])):
            return "exchanges"
    if isinstance(row.get("conversations"), list):
        return _sharegpt(row)
    for key in ("conversation", "items"):
        listed = row.get(key)
        if isinstance(listed, list) and listed and all(map(_is_turn, listed)):
            return "sharegpt"
    return None


def _is_turn(value: object) -> bool:
    return isinstance(value, dict) and (
        {"from", "value"} <= value.keys() or {"role", "content"} <= value.keys()
    )


def _is_exchange(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return any(
        isinstance(value.get(asked), str) and isinstance(value.get(answered), str)
        for asked, answered in EXCHANGE_KEYS
    )


def _sharegpt(row: Mapping[str, Any]) -> str:
    if "chosen" in row and "rejected" in row:
        return "sharegpt.preference"
    turns = [turn for turn in row["conversations"] if isinstance(turn, dict)]
    if any("train" in turn or "train_detail" in turn for turn in turns):
        return "axolotl.train_flags"
    answers = [
        turn for turn in turns if str(turn.get("from", turn.get("role"))).lower() in _ANSWERING
    ]
    if any(_TAGGED.search(str(turn.get("value", turn.get("content")))) for turn in answers):
        return "sharegpt.hermes"
    return "sharegpt"


_ANSWERING = frozenset({"gpt", "assistant"})
_TAGGED = re.compile(r"<tool_call>\s*\{")


def _by_messages(row: Mapping[str, Any]) -> str | None:
    listed = row.get("messages")
    if not isinstance(listed, list) or not listed or ("chosen" in row and "rejected" in row):
        return None
    messages = [message for message in listed if isinstance(message, dict)]
    parts = list(_parts(messages))
    keys = {key for message in messages for key in message}
    if dialect := _by_message_keys(row, messages, keys, parts):
        return dialect
    return _among_openai(row, messages)


def _by_message_keys(
    row: Mapping[str, Any],
    messages: list[dict[str, Any]],
    keys: set[str],
    parts: list[dict[str, Any]],
) -> str | None:
    if any("type" in each and "role" not in each for each in messages):
        return _by_types(messages)
    kinds = {str(part.get("type")) for part in parts}
    if "loss_weight" in keys or any(
        "value" in part and "text" not in part
        for part in parts
        if "type" in part and keys >= {"loss_weight"}
    ):
        return "llamafactory.v1"
    if keys & {"channel", "recipient", "content_type"} or kinds & {
        "system_content",
        "developer_content",
    }:
        return "harmony.json"
    if "thinking" in keys:
        return "gpt_oss.trl"
    blocks = kinds & {"tool_use", "tool_result", "thinking"}
    if blocks or _has_input_schema(row) or any("source" in part for part in parts):
        return "anthropic.messages.tools"
    if isinstance(row.get("system"), str | list):
        return "anthropic.messages"
    if _is_bedrock(messages, parts):
        return "bedrock.conversation"
    if messages and all("from" in message and "value" in message for message in messages):
        return "sharegpt"
    if isinstance(row.get("label"), bool) or isinstance(row.get("kto_tag"), bool):
        return "kto"
    return None


def _by_types(messages: list[dict[str, Any]]) -> str | None:
    """LangChain's messages have a type; so have a messenger's, with a person each."""
    if all(_LANGCHAIN.issuperset({str(each.get("type"))}) for each in messages):
        return "langchain"
    return "messenger" if all("from" in each or "author" in each for each in messages) else None


_LANGCHAIN = frozenset({"human", "ai", "system", "tool", "function", "constructor"})


def _is_bedrock(messages: list[dict[str, Any]], parts: list[dict[str, Any]]) -> bool:
    """No content is a plain text there: one that is makes it OpenAI's, with a part that lacks a type."""
    listed = all(isinstance(message.get("content"), list) for message in messages)
    return bool(parts) and listed and all("type" not in each and "text" in each for each in parts)


def _among_openai(row: Mapping[str, Any], messages: list[dict[str, Any]]) -> str:
    if "functions" in row or any("function_call" in message for message in messages):
        return "openai.chat.legacy_functions"
    if any(_is_trl_call(message) for message in messages):
        return "trl.tools"
    extra = set(row) - {"messages", "tools", "parallel_tool_calls"}
    if extra and messages and messages[-1].get("role") in ("user", "tool"):
        return "openai.rft"
    return "openai.chat"


def _is_trl_call(message: Mapping[str, Any]) -> bool:
    calls = message.get("tool_calls")
    return isinstance(calls, list) and any(
        isinstance(call, dict)
        and "id" not in call
        and isinstance(call.get("function"), dict)
        and isinstance(call["function"].get("arguments"), dict)
        for call in calls
    )


def _has_input_schema(row: Mapping[str, Any]) -> bool:
    tools = row.get("tools")
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and "input_schema" in tool for tool in tools
    )


def _parts(messages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))


def _by_prompt(row: Mapping[str, Any]) -> str | None:
    if "chosen" in row and "rejected" in row:
        both = str(row["chosen"]).startswith(_HUMAN) and str(row["rejected"]).startswith(_HUMAN)
        return "transcript.preference" if both else "trl.preference"
    if isinstance(row.get("completions"), list) and "labels" in row:
        return "trl.stepwise"
    if _is_ranked(row):
        return "ranked"
    if isinstance(row.get("system"), str) and "USER:" in str(row.get("chat")):
        return "glaive"
    if "instruction" in row and isinstance(row.get("instances"), list):
        return "self_instruct"
    if isinstance(row.get("instruction"), str) and ("output" in row or "response" in row):
        return "alpaca"
    if "prompt" in row and "completion" in row:
        return _prompt_and_completion(row)
    for asked, answered in PAIR_KEYS:
        if isinstance(row.get(asked), str) and isinstance(row.get(answered), str):
            return "pairs"
    return None


_HUMAN = "\n\nHuman:"


def _is_ranked(row: Mapping[str, Any]) -> bool:
    if not row.keys() & {"prompt", "instruction", "question"}:
        return False
    lists = ((row.get(key), score) for key, score in _RANKED)
    return any(
        isinstance(listed, list)
        and listed
        and all(isinstance(each, dict) and score in each for each in listed)
        for listed, score in lists
    )


_RANKED = (("answers", "rank"), ("answers", "pm_score"), ("completions", "overall_score"))


def _prompt_and_completion(row: Mapping[str, Any]) -> str:
    if isinstance(row.get("label"), bool):
        return "trl.unpaired"
    if isinstance(row["completion"], str) and str(row["prompt"]).startswith(_HUMAN):
        return "transcript.completion"
    return "trl.prompt_completion" if isinstance(row["completion"], list) else "openai.completion"
