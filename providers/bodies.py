"""What ftctl asks for, in OpenAI's words: arguments of the client's methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.domain.provider import TokenCarrier
from providers.answers import TOKEN_KEY

if TYPE_CHECKING:
    from orchestrator.domain.chat import ChatRequest
    from orchestrator.domain.provider import Capabilities, JobRequest


def job(request: JobRequest, capabilities: Capabilities) -> dict[str, Any]:
    """Arguments of `fine_tuning.jobs.create`; what was not chosen is left to the host.

    The token travels where the host's capabilities say, and as `Idempotency-Key` where the host honours one.
    """
    options = request.options
    in_metadata = capabilities.metadata and capabilities.token_in is TokenCarrier.METADATA
    own = {TOKEN_KEY: request.token} if in_metadata else {}
    body: dict[str, Any] = {
        "model": request.model,
        "training_file": request.training_file,
        "validation_file": request.validation_file,
        "suffix": _suffix(request, capabilities),
        "seed": request.seed,
        "metadata": {**options.metadata, **own} or None,
        "integrations": [options.wandb.as_wire()] if options.wandb else None,
    }
    told = {name: value for name, value in body.items() if value is not None}
    told["method"] = _method(request)
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
        max_tokens: request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.seed is not None:
        body["seed"] = request.seed
    if request.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    return body


def _suffix(request: JobRequest, capabilities: Capabilities) -> str | None:
    if capabilities.token_in is not TokenCarrier.SUFFIX:
        return request.suffix
    return f"{request.suffix}-{request.token}" if request.suffix else request.token


def _method(request: JobRequest) -> dict[str, Any]:
    name = request.method.value
    told: dict[str, Any] = {}
    chosen: dict[str, Any] = {**request.hyperparameters.as_wire(), **request.options.own}
    if chosen:
        told["hyperparameters"] = chosen
    if request.options.grader is not None:
        told["grader"] = dict(request.options.grader)
    return {"type": name, **({name: told} if told else {})}
