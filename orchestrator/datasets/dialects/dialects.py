"""Which dialect a row is written in, seen from its shape alone."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.findings.finding import Flaw
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Every dialect that is recognised, with what it is in words.
DIALECTS: Mapping[str, str] = {
    "openai.chat": "OpenAI chat: messages with role and content",
    "openai.chat.legacy_functions": "OpenAI chat with the deprecated functions",
    "openai.completion": "prompt and completion (OpenAI, Together, Bedrock, TRL)",
    "openai.dpo": "OpenAI, Azure, Together and Fireworks preference pairs",
    "openai.rft": "OpenAI reinforcement items: a prompt and grader fields",
    "openai.evals_item": "OpenAI evals items",
    "sharegpt": "ShareGPT conversations: from and value, tools as a text",
    "sharegpt.preference": "ShareGPT conversations with chosen and rejected",
    "axolotl.train_flags": "axolotl conversations with train flags",
    "kto": "messages with a label (KTO)",
    "alpaca": "Alpaca: instruction, input, output",
    "self_instruct": "Self-Instruct: one instruction with several instances",
    "pairs": "two texts under the usual names (question and answer, prompt and response, ...)",
    "llamafactory.v1": "LLaMA-Factory v1: parts of type and value, loss weights",
    "llamafactory.v1.preference": "LLaMA-Factory v1 preference pairs",
    "trl.prompt_completion": "TRL prompt and completion as messages",
    "trl.preference": "TRL preference pairs, with or without a prompt",
    "trl.unpaired": "TRL unpaired preference: prompt, completion, label",
    "trl.stepwise": "TRL stepwise supervision",
    "trl.tools": "TRL and axolotl tool calls: arguments as an object, no ids",
    "text": "plain text without roles",
    "mistral.interactions": "Mistral interactions",
    "anthropic.messages": "Anthropic messages (Bedrock)",
    "anthropic.messages.tools": "Anthropic messages with content blocks",
    "gemini.vertex": "Gemini on Vertex AI: contents and parts",
    "bedrock.conversation": "Amazon Bedrock conversations (Nova)",
    "harmony.json": "Harmony messages with channels",
    "gpt_oss.trl": "gpt-oss messages with thinking",
}

#: Names under which one text is asked and one answered, in the order they are looked for.
PAIR_KEYS: tuple[tuple[str, str], ...] = tuple(
    (asked, answered)
    for asked in ("prompt", "question", "query", "user", "input", "problem")
    for answered in (
        "response",
        "answer",
        "output",
        "completion",
        "assistant",
        "solution",
        "target",
    )
)


def detect(row: Mapping[str, Any]) -> str | None:
    """The dialect of a row; None when its shape is none that is known."""
    for recognise in (_by_marker, _by_messages, _by_prompt):
        if name := recognise(row):
            return name
    if isinstance(row.get("text"), str):
        return "text"
    return None


def foreign_dialect(row: Mapping[str, Any], method: Method) -> Flaw | None:
    """The one finding for a row that is good data of another kind; None for our own."""
    dialect = detect(row)
    if dialect == _OWN[method] or (dialect in _NEARLY_OURS and method is not Method.DPO):
        return None
    if dialect in _METHODS:
        return Flaw(
            "wrong-method", "", {"found": _METHODS[dialect].value, "expected": method.value}
        )
    if dialect is not None:
        return Flaw("foreign-dialect", "", {"dialect": dialect, "expected": _OWN[method]})
    if method is Method.DPO or not row or "messages" in row:
        return None
    if difflib.get_close_matches("messages", row, n=1):
        return None
    return Flaw("unknown-shape", "", {"keys": ", ".join(list(map(str, row))[:8])})


_OWN = {
    Method.SUPERVISED: "openai.chat",
    Method.DPO: "openai.dpo",
    Method.REINFORCEMENT: "openai.rft",
}
_METHODS = {
    "openai.chat": Method.SUPERVISED,
    "openai.dpo": Method.DPO,
    "openai.rft": Method.REINFORCEMENT,
}
# The schema names their faults better than one word for the whole row would.
_NEARLY_OURS = frozenset({"openai.chat", "openai.chat.legacy_functions", "openai.rft", "trl.tools"})


def _by_marker(row: Mapping[str, Any]) -> str | None:
    """Dialects with a key that no other has."""
    if str(row.get("schemaVersion", "")).startswith("bedrock-conversation"):
        return "bedrock.conversation"
    if isinstance(row.get("conversations"), list):
        return _sharegpt(row)
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
    return None


def _sharegpt(row: Mapping[str, Any]) -> str:
    if "chosen" in row and "rejected" in row:
        return "sharegpt.preference"
    turns = [turn for turn in row["conversations"] if isinstance(turn, dict)]
    if any("train" in turn or "train_detail" in turn for turn in turns):
        return "axolotl.train_flags"
    return "sharegpt"


def _by_messages(row: Mapping[str, Any]) -> str | None:
    listed = row.get("messages")
    if not isinstance(listed, list) or not listed:
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
    if kinds & {"tool_use", "tool_result", "thinking"} or _has_input_schema(row):
        return "anthropic.messages.tools"
    if isinstance(row.get("system"), str | list):
        return "anthropic.messages"
    if parts and all("type" not in part and "text" in part for part in parts):
        return "bedrock.conversation"
    if messages and all("from" in message and "value" in message for message in messages):
        return "sharegpt"
    if isinstance(row.get("label"), bool) or isinstance(row.get("kto_tag"), bool):
        return "kto"
    return None


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
        return "trl.preference"
    if isinstance(row.get("completions"), list) and "labels" in row:
        return "trl.stepwise"
    if "instruction" in row and isinstance(row.get("instances"), list):
        return "self_instruct"
    if isinstance(row.get("instruction"), str) and "output" in row:
        return "alpaca"
    if "prompt" in row and "completion" in row:
        return _prompt_and_completion(row)
    for asked, answered in PAIR_KEYS:
        if isinstance(row.get(asked), str) and isinstance(row.get(answered), str):
            return "pairs"
    return None


def _prompt_and_completion(row: Mapping[str, Any]) -> str:
    if isinstance(row.get("label"), bool):
        return "trl.unpaired"
    return "trl.prompt_completion" if isinstance(row["completion"], list) else "openai.completion"
