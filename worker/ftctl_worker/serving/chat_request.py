"""The body of a chat completion, checked against what this server can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import BadRequestError
from ftctl_worker.forms.answer_form import answer_grammar, offered_tools
from ftctl_worker.messages import MessageError, plain_messages

if TYPE_CHECKING:
    from ftctl_worker.forms.grammar import Grammar

__all__ = ["ChatRequest", "parse_chat"]

_UNSUPPORTED: dict[str, object] = {
    "audio": None,
    "frequency_penalty": 0,
    "function_call": None,
    "functions": None,
    "logit_bias": {},
    "n": 1,
    "presence_penalty": 0,
}


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """What to answer and how to decode; ``max_tokens`` None means as far as the model reaches."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    top_logprobs: int | None = None
    may_call: bool = False
    grammar: Grammar | None = None


def parse_chat(body: object) -> ChatRequest:
    """Turn a request body into a chat request.

    Raises:
        BadRequestError: the body breaks a rule or asks for what is not supported.
    """
    if not isinstance(body, dict):
        raise BadRequestError("The request body must be a JSON object.")
    _refuse_unsupported(body)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("You must provide a 'model'.", param="model")
    try:
        messages = plain_messages(body.get("messages"))
    except MessageError as error:
        param = error.pointer.strip("/").replace("/", ".")
        raise BadRequestError(str(error), param=param) from error
    options = body.get("stream_options") or {}
    tools = offered_tools(body)
    return ChatRequest(
        model=model,
        messages=[{k: v for k, v in message.items() if k != "weight"} for message in messages],
        tools=tools,
        max_tokens=_max_tokens(body),
        temperature=_number(body, "temperature", 0, 2),
        top_p=_number(body, "top_p", 0, 1),
        seed=_seed(body.get("seed")),
        stop=_stop(body.get("stop")),
        stream=_flag(body.get("stream"), "stream"),
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        top_logprobs=_top_logprobs(body),
        may_call=bool(tools) and body.get("tool_choice") != "none",
        grammar=answer_grammar(body),
    )


def _refuse_unsupported(body: dict[str, Any]) -> None:
    for name, neutral in _UNSUPPORTED.items():
        value = body.get(name)
        if value is not None and value != neutral:
            raise BadRequestError(
                f"'{name}' is not supported by this server.",
                param=name,
                code="unsupported_parameter",
            )


def _top_logprobs(body: dict[str, Any]) -> int | None:
    """Return how many likely tokens to report with each token; None reports none at all."""
    wanted = _flag(body.get("logprobs"), "logprobs")
    top = body.get("top_logprobs")
    if top is None:
        return 0 if wanted else None
    if isinstance(top, bool) or not isinstance(top, int) or not 0 <= top <= 20:
        raise BadRequestError(
            "'top_logprobs' must be an integer from 0 to 20.", param="top_logprobs"
        )
    if not wanted and top:
        raise BadRequestError("'top_logprobs' needs 'logprobs'.", param="top_logprobs")
    return top if wanted else None


def _max_tokens(body: dict[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadRequestError(f"'{name}' must be an integer of at least 1.", param=name)
        return value
    return None


def _number(body: dict[str, Any], name: str, low: float, high: float) -> float:
    value = body.get(name)
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRequestError(f"'{name}' must be a number from {low} to {high}.", param=name)
    return float(value)


def _seed(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise BadRequestError("'seed' must be a 64-bit integer.", param="seed")
    return value


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    stops = [value] if isinstance(value, str) else value
    if (
        not isinstance(stops, list)
        or len(stops) > 4
        or not all(isinstance(stop, str) and stop for stop in stops)
    ):
        raise BadRequestError("'stop' takes one to four strings.", param="stop")
    return tuple(stops)


def _flag(value: object, name: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadRequestError(f"'{name}' must be true or false.", param=name)
