"""A request and its answer in one record, wherever hosts, gateways and tracers put the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Trace(NamedTuple):
    """What was asked and what came.

    Attributes:
        request: the object that holds the messages.
        response: the object that holds the answer; the record itself where both stand in it.
        answer: the turns of the answer, as the host wrote them; several where it gave several.
        used: keys of the record under which the two were found.
    """

    request: Mapping[str, Any]
    response: Mapping[str, Any]
    answer: list[dict[str, Any]]
    used: frozenset[str]


def trace_in(record: Mapping[str, Any]) -> Trace | None:
    """The request and the answer of a record; None where it is no such record."""
    asked, request = _inside(record, _REQUESTS)
    answered, response = _inside(record, _RESPONSES)
    if not any(isinstance(request.get(key), list) for key in ASKING) and not _is_asked(request):
        return None
    answer = answer_in(response)
    said = record.get("output")
    if not answer and isinstance(said, str) and isinstance(record.get("input"), list | dict):
        answer = [{"role": "assistant", "content": said}] if _has_turns(request) else []
    if not answer:
        return None
    return Trace(request, response, answer, frozenset({asked, answered} - {""}))


#: Under which keys a request has its turns.
ASKING = ("messages", "contents", "input")
_REQUESTS = ("request_body", "request", "inputs", "input")
_RESPONSES = ("response_body", "response", "outputs", "output")
_WRAPPED = ("body", "inputBodyJson", "outputBodyJson")


def _inside(record: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, Mapping[str, Any]]:
    for key in keys:
        value = record.get(key)
        if isinstance(value, dict):
            return key, next((value[w] for w in _WRAPPED if isinstance(value.get(w), dict)), value)
    return "", record


def _is_asked(request: Mapping[str, Any]) -> bool:
    """A text as input is asked where the answer is a list of items, as the Responses API has it."""
    return isinstance(request.get("input"), str) and isinstance(request.get("output"), list)


def _has_turns(request: Mapping[str, Any]) -> bool:
    turns = request.get("messages", request.get("input"))
    return isinstance(turns, list) and all(
        isinstance(turn, dict) and "role" in turn for turn in turns
    )


def answer_in(response: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The turns of an answer as a host gives it; empty where there is none."""
    match response:
        case {"choices": [*choices]} if choices:
            return _held(choices, "message")
        case {"candidates": [*candidates]} if candidates:
            return _held(candidates, "content")
        case {"generations": [[{"message": dict(message)}]]}:
            return [message]
        case {"output": {"message": dict(message)}}:
            return [message]
        case {"output": [*items]} if items and all(isinstance(item, dict) for item in items):
            return [dict(item) for item in items]
        case {"message": {"role": "assistant"} as message}:
            return [message]
        case {"role": "assistant", "content": _}:
            return [dict(response)]
        case _:
            return []


def _held(listed: list[Any], key: str) -> list[dict[str, Any]]:
    """What each object of a list holds under a key."""
    objects = (each[key] for each in listed if isinstance(each, dict) and key in each)
    return [held for held in objects if isinstance(held, dict)]
