"""The route /v1/chat/completions, whole answers and streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ftctl_worker.api import answers
from ftctl_worker.api.asking import Answer, Asked, find_model
from ftctl_worker.api.requests import project_of, read_json
from ftctl_worker.errors import ApiError
from ftctl_worker.ids import new_id
from ftctl_worker.serving.chat_request import parse_chat
from ftctl_worker.serving.replies import Delta, Done, TokenLogprob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request

    from ftctl_worker.serving.engine import Engine
    from ftctl_worker.serving.lookup import Lookup

__all__ = ["ChatRoutes"]


class ChatRoutes:
    """Answers chats with base and tuned models."""

    def __init__(self, engine: Engine, lookup: Lookup) -> None:
        """Answer through ``engine`` with what ``lookup`` knows."""
        self._engine = engine
        self._lookup = lookup

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/v1/chat/completions", self.create, methods=["POST"])]

    async def create(self, request: Request) -> Response:
        """Answer one conversation."""
        # A large schema takes its time.
        chat = await run_in_threadpool(parse_chat, await read_json(request))
        project = project_of(request)
        found = await run_in_threadpool(find_model, self._lookup, chat.model, project)
        asked = Asked(chat, found)
        asked.submit(self._engine)
        said = _Completion(asked)
        async with asked.ending_with(request):
            if not chat.stream:
                return JSONResponse(said.whole(await asked.whole()), headers=asked.headers)
            replies = asked.replies()
            # An early failure gets a proper status.
            first = await anext(replies)
        # From here on the response itself listens.
        return StreamingResponse(
            said.stream(first, replies), media_type="text/event-stream", headers=asked.headers
        )


class _Completion:
    """The answers to a request in the words of the API."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._chat = asked.chat
        self._id = new_id("chatcmpl-")

    def whole(self, ends: Sequence[Done]) -> dict[str, Any]:
        """Return a CreateChatCompletionResponse."""
        choices = [
            {
                "index": answer.index,
                "message": _message(answer.text, end),
                "logprobs": self._logprobs(answer.tokens),
                "finish_reason": _reason(end),
            }
            for answer, end in zip(self._asked.answers, ends, strict=True)
        ]
        head = self._head("chat.completion")
        return {**head, "choices": choices, "usage": _usage(ends)}

    async def stream(
        self,
        first: tuple[Answer, Delta | Done],
        rest: AsyncIterator[tuple[Answer, Delta | Done]],
    ) -> AsyncIterator[str]:
        """Yield server-sent events, ``data: [DONE]`` last."""
        try:
            for answer in self._asked.answers:
                yield self._chunk(answer, {"role": "assistant", "content": ""})
            for chunk in self._chunks(*first):
                yield chunk
            async for said in rest:
                for chunk in self._chunks(*said):
                    yield chunk
            if self._chat.include_usage:
                yield self._event([], usage=_usage(self._asked.ends))
            yield "data: [DONE]\n\n"
        except ApiError as error:
            yield _event(error.envelope())
        finally:
            self._asked.cancel()

    def _chunks(self, answer: Answer, reply: Delta | Done) -> list[str]:
        if isinstance(reply, Delta):
            if not reply.text and not reply.tokens:
                return []
            return [self._chunk(answer, {"content": reply.text}, tokens=reply.tokens)]
        end = self._chunk(answer, {}, finish=_reason(reply))
        if not reply.calls:
            return [end]
        numbered = [{"index": number, **call} for number, call in enumerate(reply.calls)]
        return [self._chunk(answer, {"tool_calls": numbered}), end]

    def _chunk(
        self,
        answer: Answer,
        delta: dict[str, Any],
        *,
        tokens: Sequence[TokenLogprob] = (),
        finish: str | None = None,
    ) -> str:
        choice = {
            "index": answer.index,
            "delta": delta,
            "logprobs": self._logprobs(tokens) if tokens else None,
            "finish_reason": finish,
        }
        return self._event([choice])

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> str:
        chunk = {**self._head("chat.completion.chunk"), "choices": choices}
        return _event({**chunk, "usage": usage} if self._chat.include_usage else chunk)

    def _head(self, kind: str) -> dict[str, Any]:
        """Say which model answers: the version that an alias meant when the request came."""
        found = self._asked.found
        said = {} if found.fingerprint is None else {"system_fingerprint": found.fingerprint}
        created = self._asked.created
        return {"id": self._id, "object": kind, "created": created, "model": found.model, **said}

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if self._chat.top_logprobs is None:
            return None
        return {"content": answers.logprobs(tokens), "refusal": None}


def _message(text: str, end: Done) -> dict[str, Any]:
    content = text if text or not end.calls else None
    called = {"tool_calls": end.calls} if end.calls else {}
    return {
        "role": "assistant", "content": content, "refusal": None, "annotations": [], **called,
    }  # fmt: skip


def _reason(end: Done) -> str:
    return "tool_calls" if end.calls else end.finish_reason


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


def _usage(ends: Sequence[Done]) -> dict[str, Any]:
    """Count the prompt once, and the tokens of all answers to it."""
    prompt, completion = ends[0].prompt_tokens, sum(one.completion_tokens for one in ends)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": ends[0].cached_tokens},
    }
