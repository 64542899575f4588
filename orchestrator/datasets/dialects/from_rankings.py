"""Dialects of answers that were compared: two of them, or a ranking; and trees of replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.datasets.dialects.from_messages import turns_of
from orchestrator.datasets.dialects.from_transcripts import turns_of_transcript
from orchestrator.datasets.dialects.turns import Turned, Unconvertible, others_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def from_arena(record: dict[str, Any]) -> Turned:
    """Two models' conversations, and whose was better."""
    winner = record["winner"]
    if winner not in {"model_a", "model_b"}:
        raise Unconvertible(f"no side won ({winner})")
    sides = [record["conversation_a"], record["conversation_b"]]
    better, worse = sides if winner == "model_a" else reversed(sides)
    turned = pair_of(turns_of(better).row["messages"], turns_of(worse).row["messages"])
    turned.losses += others_of(record, {"conversation_a", "conversation_b", "winner"})
    return turned


def from_transcripts(record: dict[str, Any]) -> Turned:
    """Chosen and rejected transcripts of Human and Assistant."""
    turned = pair_of(*(turns_of_transcript(record[side]) for side in ("chosen", "rejected")))
    turned.losses += others_of(record, {"chosen", "rejected"})
    return turned


def from_ranked(record: dict[str, Any]) -> Turned:
    """A prompt with several answers; the best and the worst make the pair."""
    listed = record.get("answers") or record["completions"]
    ranked = sorted(listed, key=_place)
    if len(ranked) < 2 or _place(ranked[0]) == _place(ranked[-1]):
        raise Unconvertible("no answer is better than another")
    texts = [
        next(each[key] for key in ("answer", "response", "text") if key in each)
        for each in (ranked[0], ranked[-1])
    ]
    turned = pair_of(*(_asked(record, text) for text in texts))
    if len(ranked) > 2:
        turned.losses.append("the answers between the best and the worst")
    known = {"prompt", "instruction", "question", "answers", "completions"}
    turned.losses += others_of(record, known)
    return turned


def from_compared(record: dict[str, Any]) -> Turned:
    """Two responses side by side, and which was better."""
    if "overall_preference" in record:
        keys, better = ("response1", "response2"), int(record["overall_preference"] > 0)
        better = better if record["overall_preference"] else -1
        used = {"context", *keys, "overall_preference"}
    elif "better_response_id" in record:
        keys, better = ("response_0", "response_1"), record["better_response_id"]
        used = {"prompt", *keys, "better_response_id"}
    else:
        keys, better = ("human_ref_A", "human_ref_B"), 1 - record["labels"]
        used = {"history", *keys, "labels"}
    if better not in (0, 1):
        raise Unconvertible("nothing says which response was better")
    asked = {
        **record,
        "prompt": next(record[k] for k in ("prompt", "history", "context") if k in record),
    }
    turned = pair_of(_asked(asked, record[keys[better]]), _asked(asked, record[keys[1 - better]]))
    turned.losses += others_of(record, used)
    return turned


def from_rejected(record: dict[str, Any]) -> Turned:
    """Messages, and the answer that should not have come last."""
    rejected = record.get("rejected_message") or record["rejected_response"]
    turn = {"role": "assistant", "content": rejected} if isinstance(rejected, str) else rejected
    better = turns_of(record["messages"]).row["messages"]
    turned = pair_of(better, [*better[:-1], *turns_of([turn]).row["messages"]])
    turned.losses += others_of(record, {"messages", "rejected_message", "rejected_response"})
    return turned


RANKED_DIALECTS: Mapping[str, Callable[[dict[str, Any]], Turned]] = {
    "arena": from_arena,
    "transcript.preference": from_transcripts,
    "ranked": from_ranked,
    "compared": from_compared,
    "messages.rejected": from_rejected,
}


def pair_of(better: list[dict[str, Any]], worse: list[dict[str, Any]]) -> Turned:
    """The pair of two conversations that differ in their last answer alone."""
    if not better[:-1] or better[:-1] != worse[:-1]:
        raise Unconvertible("the two sides do not differ in exactly one last answer")
    sides = {"preferred_output": [better[-1]], "non_preferred_output": [worse[-1]]}
    return Turned(row={"input": {"messages": better[:-1]}, **sides})


def _place(answer: dict[str, Any]) -> float:
    """Where an answer stands; the least is the best."""
    if "rank" in answer:
        return float(answer["rank"])
    return -float(answer["pm_score"] if "pm_score" in answer else answer["overall_score"])


def _asked(record: dict[str, Any], answered: str) -> list[dict[str, Any]]:
    prompt = record.get("prompt") or record.get("instruction") or record["question"]
    answer = {"role": "assistant", "content": answered}
    if isinstance(prompt, list):
        return [*turns_of(prompt).row["messages"], answer]
    if prompt.startswith("\n\nHuman:"):
        turns = turns_of_transcript(prompt)
        return [*(turn for turn in turns if turn["content"]), answer]
    return [{"role": "user", "content": prompt}, answer]
