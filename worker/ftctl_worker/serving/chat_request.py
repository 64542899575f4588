"""The body of a chat completion, checked against what this server can do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftctl_worker.errors import BadRequestError
from ftctl_worker.forms.answer_form import answer_grammar, function_names, offered_tools
from ftctl_worker.messages import MessageError, plain_messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftctl_worker.forms.grammar import Grammar

__all__ = ["ChatRequest", "parse_chat", "refuse_unsupported"]

# What would change the answer and is not done here: what is taken all the same, and the mend.
_UNSUPPORTED: dict[str, tuple[object, str]] = {
    "audio": (None, "this server answers in text."),
    "function_call": (None, "use 'tool_choice'."),
    "functions": (None, "use 'tools'."),
    "modalities": (["text"], "this server answers in text."),
    "moderation": (None, "this server has no moderations."),
    "web_search_options": (None, "this server calls nobody."),
}
_MOST_ANSWERS = 16
_MOST_BIASES = 300


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """What to answer and how to decode; ``max_tokens`` None means as far as the model reaches.

    ``callable`` are the names of the tools that may be called; ``n`` answers are given, the seed of
    each one higher than that of the one before.
    """

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
    grammar: Grammar | None = None
    callable: frozenset[str] = frozenset()
    several_calls: bool = True
    n: int = 1
    frequency_penalty: float = 0
    presence_penalty: float = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)


def parse_chat(body: object) -> ChatRequest:
    """Turn a request body into a chat request.

    Raises:
        BadRequestError: the body breaks a rule or asks for what is not supported.
    """
    if not isinstance(body, dict):
        raise BadRequestError("The request body must be a JSON object.")
    refuse_unsupported(body, _UNSUPPORTED)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("You must provide a 'model'.", param="model")
    try:
        messages = plain_messages(body.get("messages"))
    except MessageError as error:
        param = error.pointer.strip("/").replace("/", ".")
        raise BadRequestError(str(error), param=param) from error
    tools = offered_tools(body)
    names = function_names(tools or [])
    return ChatRequest(
        model=model,
        messages=[{k: v for k, v in message.items() if k != "weight"} for message in messages],
        tools=tools,
        max_tokens=_max_tokens(body),
        temperature=_number(body, "temperature", 0, 2, 1),
        top_p=_number(body, "top_p", 0, 1, 1),
        seed=_seed(body.get("seed")),
        stop=_stop(body.get("stop")),
        stream=_flag(body.get("stream"), "stream"),
        include_usage=_include_usage(body.get("stream_options")),
        top_logprobs=_top_logprobs(body),
        grammar=answer_grammar(body),
        callable=frozenset() if body.get("tool_choice") == "none" else names,
        several_calls=body.get("parallel_tool_calls") is None
        or _flag(body["parallel_tool_calls"], "parallel_tool_calls"),
        n=_count(body, "n", _MOST_ANSWERS) or 1,
        frequency_penalty=_number(body, "frequency_penalty", -2, 2, 0),
        presence_penalty=_number(body, "presence_penalty", -2, 2, 0),
        logit_bias=_logit_bias(body.get("logit_bias")),
    )


def refuse_unsupported(
    body: Mapping[str, Any], unsupported: Mapping[str, tuple[object, str]]
) -> None:
    """Refuse what a server does not do, by name: what is taken all the same, and the mend.

    Raises:
        BadRequestError: the body asks for one of them.
    """
    for name, (neutral, mend) in unsupported.items():
        value = body.get(name)
        if value is not None and value != neutral:
            raise BadRequestError(
                f"'{name}' is not supported here: {mend}",
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
    counts = [_count(body, name) for name in ("max_completion_tokens", "max_tokens")]
    return next((one for one in counts if one is not None), None)


def _count(body: dict[str, Any], name: str, most: int | None = None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadRequestError(f"'{name}' must be an integer of at least 1.", param=name)
    if most is not None and value > most:
        raise BadRequestError(f"'{name}' can be up to {most} on this server.", param=name)
    return value


def _number(body: dict[str, Any], name: str, low: float, high: float, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if not _is_between(value, low, high):
        raise BadRequestError(f"'{name}' must be a number from {low} to {high}.", param=name)
    return float(value)


def _is_between(value: object, low: float, high: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and low <= value <= high  # type: ignore[operator]


def _logit_bias(value: object) -> dict[int, float]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(
        re.fullmatch(r"[0-9]{1,7}", token) and _is_between(bias, -100, 100)
        for token, bias in value.items()
    ):
        raise BadRequestError(
            "'logit_bias' must map ids of tokens to numbers from -100 to 100.", param="logit_bias"
        )
    if len(value) > _MOST_BIASES:
        raise BadRequestError(
            f"'logit_bias' can hold up to {_MOST_BIASES} tokens on this server.", param="logit_bias"
        )
    return {int(token): float(bias) for token, bias in value.items()}


def _include_usage(options: object) -> bool:
    if options is None:
        return False
    if not isinstance(options, dict):
        raise BadRequestError("'stream_options' must be an object.", param="stream_options")
    return _flag(options.get("include_usage"), "stream_options.include_usage")


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
