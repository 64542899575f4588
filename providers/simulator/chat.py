"""Models of a simulated host, and answers that are the same every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.simulator.exchange import RefusedError

if TYPE_CHECKING:
    from providers.simulator.dialects import SimulatedDialect
    from providers.simulator.state import State

BASE_MODELS = ("gpt-4.1-mini-2025-04-14", "gpt-4.1-2025-04-14", "gpt-4o-mini-2024-07-18", "tiny")
CACHED_SHARE = 4


def models(state: State) -> list[dict[str, Any]]:
    """Base models, and the tuned ones of jobs that succeeded."""
    bases = [_model(name, 0, "system") for name in BASE_MODELS]
    tuned = [
        _model(job["fine_tuned_model"], job["finished_at"], "org-simulated")
        for job in state["jobs"].values()
        if job["fine_tuned_model"] and not job.get("fine_tuned_model_deleted")
    ]
    dates = state["model_dates"]
    return [{**model, **dates.get(model["id"], {})} for model in bases + tuned]


def answer(
    state: State, body: Any, dialect: SimulatedDialect, serial: str, now: int
) -> dict[str, Any]:
    """Repeats the last thing said; a tuned model says it in capitals.

    Raises:
        RefusedError: there is no such model, or nothing was said.
    """
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, "'messages' must hold at least one message.", param="messages")
    tuned = _is_tuned(state, str(model), dialect)
    words = _text(messages[-1]).split()[: _limit(body)]
    said = " ".join(words).upper() if tuned else " ".join(words)
    prompt = sum(len(_text(message).split()) + 4 for message in messages)
    return {
        "id": f"chatcmpl-{serial}",
        "object": "chat.completion",
        "created": now,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": said, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": len(words),
            "total_tokens": prompt + len(words),
            "prompt_tokens_details": {"cached_tokens": prompt // CACHED_SHARE, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }


def _is_tuned(state: State, model: str, dialect: SimulatedDialect) -> bool:
    tuned = {
        job["fine_tuned_model"]
        for job in state["jobs"].values()
        if not job.get("fine_tuned_model_deleted")
    }
    if dialect.deployments:
        if model in BASE_MODELS:
            return False
        if model not in state["deployments"]:
            raise RefusedError(
                404,
                "The API deployment for this resource does not exist.",
                code="DeploymentNotFound",
            )
        return state["deployments"][model] in tuned
    if model in tuned:
        return True
    # Folders and Hub ids are base models too; only a tuned model's pattern must be known.
    if model.startswith("ft:"):
        raise RefusedError(
            404, f"The model '{model}' does not exist", code="model_not_found", param="model"
        )
    return False


def _limit(body: dict[str, Any]) -> int:
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or 256)


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""


def _model(name: str, created: int, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}
