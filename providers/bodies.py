"""What ftctl asks for, in OpenAI's words: arguments of the client's methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.answers import TOKEN_KEY

if TYPE_CHECKING:
    from orchestrator.domain.chat import ChatRequest
    from orchestrator.domain.provider import Capabilities, JobRequest


def job(request: JobRequest, capabilities: Capabilities) -> dict[str, Any]:
    """Arguments of `fine_tuning.jobs.create`; what was not chosen is left to the host.

    The token travels as metadata, and as `Idempotency-Key` where the host honours one.
    """
    chosen = request.hyperparameters.as_wire()
    method: dict[str, Any] = {"type": request.method.value}
    if chosen:
        method[request.method.value] = {"hyperparameters": chosen}
    body: dict[str, Any] = {
        "model": request.model,
        "training_file": request.training_file,
        "validation_file": request.validation_file,
        "suffix": request.suffix,
        "seed": request.seed,
        "metadata": {TOKEN_KEY: request.token} if capabilities.metadata else None,
    }
    told = {name: value for name, value in body.items() if value is not None}
    told["method"] = method
    if capabilities.idempotency_key:
        told["extra_headers"] = {"Idempotency-Key": request.token}
    return told


def chat(request: ChatRequest, max_tokens: str) -> dict[str, Any]:
    """Arguments of `chat.completions.create`.

    Args:
        request: what is asked.
        max_tokens: what this host calls the bound of the answer.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [dict(message) for message in request.messages],
        "temperature": request.temperature,
        max_tokens: request.max_tokens,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    return body
