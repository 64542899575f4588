"""The dialects that are known, and what is told of a row in another than one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    "sharegpt.hermes": "ShareGPT with calls in <tool_call> tags (Hermes)",
    "glaive": "Glaive function calling: system and chat as two texts",
    "xlam": "xLAM and APIGen: query, tools, answers",
    "cohere.chat": "Cohere: preamble, chat_history, message, response",
    "input_output": "a request and its answer, as hosts, gateways and tracers log them",
    "exchanges": "a list of questions, each with its answer",
    "openai.evals_ideal": "OpenAI evals: messages and the ideal answer",
    "openai.answer": "answers of an OpenAI host or batch, without their requests",
    "chatgpt.export": "ChatGPT's export of conversations",
    "claude.export": "Claude's export of conversations",
    "langchain": "LangChain messages: human, ai, system, tool",
    "messenger": "exports of messengers (Slack, Discord, Telegram)",
    "text.rendered": "a text written out with a chat template (ChatML, Llama, Gemma, DeepSeek, ### marks)",
    "alternating": "texts alone, a user's and the assistant's in turn (LIMA, UltraChat)",
    "transcript.completion": "a prompt that is a transcript of Human and Assistant",
    "transcript.preference": "chosen and rejected transcripts (HH-RLHF)",
    "arena": "two models' conversations and whose was better (Chatbot Arena)",
    "ranked": "a prompt and several answers with a rank or a score (Nectar, UltraFeedback)",
    "compared": "two responses and which was better (SHP, PKU-SafeRLHF)",
    "messages.rejected": "messages with a rejected last answer (OpenPipe, Swift)",
    "oasst.tree": "OpenAssistant trees of replies",
    "oasst.message": "single messages of OpenAssistant trees",
    "axolotl.segments": "axolotl segments without a template",
    "openai.batch": "requests of an OpenAI batch",
    "text.label": "a text and its class",
}

#: Under which keys texts alone take turns.
ALTERNATING = ("conversations", "data", "dialog")

#: Names of a question and its answer where a list holds both in one object.
EXCHANGE_KEYS = (
    ("input", "output"),
    ("question", "answer"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("human", "assistant"),
    ("user", "assistant"),
    ("user", "bot"),
)

#: Names under which one text is asked and one answered, in the order they are looked for.
PAIR_KEYS: tuple[tuple[str, str], ...] = tuple(
    (asked, answered)
    for asked in (
        *("prompt", "question", "query", "user", "input", "problem"),
        *("inputs", "input_text", "text_input"),
    )
    for answered in (
        *("response", "answer", "output", "completion", "assistant", "solution", "target"),
        *("targets", "output_text"),
    )
)


#: Dialects that have a rejected answer beside the preferred one.
PREFERENCES = frozenset(
    {
        "openai.dpo",
        "sharegpt.preference",
        "trl.preference",
        "llamafactory.v1.preference",
        "transcript.preference",
        "arena",
        "ranked",
        "compared",
        "messages.rejected",
    }
)
