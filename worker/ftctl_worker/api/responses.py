"""The route /v1/responses: the same answers as chats, in the words of the Responses API.

Nothing is stored: a response cannot be fetched, deleted or gone on from.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ftctl_worker.api import answers
from ftctl_worker.api.asking import Asked, find_model
from ftctl_worker.api.requests import project_of, read_json
from ftctl_worker.errors import ApiError, BadRequestError
from ftctl_worker.ids import new_id
from ftctl_worker.serving.replies import Delta, Done
from ftctl_worker.serving.response_request import own_words, parse_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.requests import Request

    from ftctl_worker.api.asking import Answer
    from ftctl_worker.serving.engine import Engine
    from ftctl_worker.serving.lookup import Lookup

__all__ = ["ResponseRoutes"]

Item = dict[str, Any]


class ResponseRoutes:
    """Answers requests of the Responses API with base and tuned models."""

    def __init__(self, engine: Engine, lookup: Lookup) -> None:
        """Answer through ``engine`` with what ``lookup`` knows."""
        self._engine = engine
        self._lookup = lookup

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/v1/responses", self.create, methods=["POST"])]

    async def create(self, request: Request) -> Response:
        """Answer one request."""
        body = await read_json(request)
        chat = await run_in_threadpool(parse_response, body)
        assert isinstance(body, dict)
        found = await run_in_threadpool(find_model, self._lookup, chat.model, project_of(request))
        asked = Asked(chat, found)
        asked.submit(self._engine)
        said = _Response(asked, body)
        try:
            async with asked.ending_with(request):
                if not chat.stream:
                    (end,) = await asked.whole()
                    return JSONResponse(said.whole(end), headers=asked.headers)
                replies = asked.replies()
                # An early failure gets a proper status.
                first = await anext(replies)
        except BadRequestError as error:
            raise own_words(error) from error
        return StreamingResponse(
            said.stream(first, replies), media_type="text/event-stream", headers=asked.headers
        )


class _Response:
    """The answer to a request in the words of the Responses API."""

    def __init__(self, asked: Asked, body: dict[str, Any]) -> None:
        self._asked = asked
        self._answer = asked.answers[0]
        self._body = body
        self._id = new_id("resp_")
        self._message_id = new_id("msg_")
        self._number = 0

    def whole(self, end: Done) -> dict[str, Any]:
        """Return a Response."""
        cut = end.finish_reason == "length"
        output = [self._message("incomplete" if cut else "completed")] if self._says(end) else []
        output += [_call(call, "completed") for call in end.calls]
        return {
            **self._head("incomplete" if cut else "completed"),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": output,
            "usage": _usage(end),
        }

    async def stream(
        self, first: tuple[Answer, Delta | Done], rest: AsyncIterator[tuple[Answer, Delta | Done]]
    ) -> AsyncIterator[str]:
        """Yield server-sent events, the response itself first and last."""
        try:
            for kind in ("created", "in_progress"):
                yield self._event(f"response.{kind}", response=self._head("in_progress"))
            for event in self._events(first[1]):
                yield event
            async for _, reply in rest:
                for event in self._events(reply):
                    yield event
        except ApiError as error:
            failed = {"code": "server_error", "message": error.message}
            response = {**self._head("failed"), "error": failed}
            yield self._event("response.failed", response=response)
        finally:
            self._asked.cancel()

    def _events(self, reply: Delta | Done) -> Iterator[str]:
        if isinstance(reply, Done):
            yield from self._ending(reply)
        elif reply.text:
            if self._answer.text == reply.text:
                yield from self._opening()
            place = {"item_id": self._message_id, "output_index": 0, "content_index": 0}
            logprobs = answers.logprobs(reply.tokens)
            yield self._event(
                "response.output_text.delta", **place, delta=reply.text, logprobs=logprobs
            )

    def _opening(self) -> Iterator[str]:
        message = {**self._message("in_progress"), "content": []}
        yield self._event("response.output_item.added", output_index=0, item=message)
        place = {"item_id": self._message_id, "output_index": 0, "content_index": 0}
        part = {**self._part(), "text": "", "logprobs": []}
        yield self._event("response.content_part.added", **place, part=part)

    def _ending(self, end: Done) -> Iterator[str]:
        response = self.whole(end)
        if self._says(end):
            if not self._answer.text:
                yield from self._opening()
            place = {"item_id": self._message_id, "output_index": 0, "content_index": 0}
            part = self._part()
            yield self._event(
                "response.output_text.done", **place, text=part["text"], logprobs=part["logprobs"]
            )
            yield self._event("response.content_part.done", **place, part=part)
        for index, item in enumerate(response["output"]):
            if item["type"] == "function_call":
                yield from self._calling(index, item)
            yield self._event("response.output_item.done", output_index=index, item=item)
        yield self._event(f"response.{response['status']}", response=response)

    def _calling(self, index: int, item: Item) -> Iterator[str]:
        begun = {**item, "arguments": "", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=index, item=begun)
        place = {"item_id": item["id"], "output_index": index}
        arguments, kind = item["arguments"], "response.function_call_arguments"
        yield self._event(f"{kind}.delta", **place, delta=arguments)
        yield self._event(f"{kind}.done", **place, name=item["name"], arguments=arguments)

    def _event(self, kind: str, **fields: Any) -> str:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"

    def _says(self, end: Done) -> bool:
        return bool(self._answer.text) or not end.calls

    def _message(self, status: str) -> Item:
        return {
            "id": self._message_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [self._part()],
        }

    def _part(self) -> Item:
        tokens = self._answer.tokens if self._asked.chat.top_logprobs is not None else ()
        text, logprobs = self._answer.text, answers.logprobs(tokens)
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    def _head(self, status: str) -> dict[str, Any]:
        body, chat = self._body, self._asked.chat
        metadata, text = body.get("metadata"), body.get("text") or {}
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._asked.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": chat.max_tokens,
            "metadata": metadata if isinstance(metadata, dict) else {},
            "model": self._asked.found.model,
            "output": [],
            "parallel_tool_calls": chat.several_calls,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": chat.temperature,
            "text": {"format": text.get("format") or {"type": "text"}},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": [{"strict": False, **tool} for tool in body.get("tools") or ()],
            "top_logprobs": chat.top_logprobs or 0,
            "top_p": chat.top_p,
            "truncation": "disabled",
            "usage": None,
            "user": None,
        }


def _call(call: dict[str, Any], status: str) -> Item:
    item = {"id": new_id("fc_"), "type": "function_call", "call_id": call["id"]}
    return {**item, **call["function"], "status": status}


def _usage(end: Done) -> dict[str, Any]:
    return {
        "input_tokens": end.prompt_tokens,
        "input_tokens_details": {"cached_tokens": end.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": end.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": end.prompt_tokens + end.completion_tokens,
    }
