"""The route /v1/chat/completions, whole answers and streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ftctl_worker.api.requests import project_of, read_json
from ftctl_worker.errors import ApiError, BadRequestError, ModelError, NotFoundError
from ftctl_worker.forms.tool_calls import split_calls
from ftctl_worker.ids import new_id
from ftctl_worker.serving.chat_request import ChatRequest, parse_chat
from ftctl_worker.serving.replies import Delta, Done, Failed, Reply, TokenLogprob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request

    from ftctl_worker.serving.engine import Engine
    from ftctl_worker.serving.lookup import Found, Lookup
    from ftctl_worker.serving.ticket import Ticket

__all__ = ["ChatRoutes"]

_GONE = Failed("client_gone", "The client hung up.")


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
        found = await run_in_threadpool(self._find, chat.model, project_of(request))
        replies: asyncio.Queue[Reply] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def deliver(reply: Reply) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the client
                loop.call_soon_threadsafe(replies.put_nowait, reply)

        ticket = self._engine.submit(chat, found.target, deliver)
        conversation = _Conversation(chat, replies, ticket, found)
        headers = {"x-ftctl-adapter": found.model} if found.fingerprint else None
        async with conversation.ending_with(request):
            if not chat.stream:
                return JSONResponse(await conversation.whole(), headers=headers)
            first = await conversation.first()
        # From here on the response itself listens.
        return StreamingResponse(
            conversation.stream(first), media_type="text/event-stream", headers=headers
        )

    def _find(self, name: str, project: str) -> Found:
        try:
            return self._lookup.find(name, project)
        except ModelError as error:
            raise NotFoundError(str(error), param="model", code="model_not_found") from error


@dataclass
class _Conversation:
    """One request on its way through the engine."""

    chat: ChatRequest
    replies: asyncio.Queue[Reply]
    ticket: Ticket
    found: Found

    def __post_init__(self) -> None:
        self.id = new_id("chatcmpl-")
        self.created = int(time.time())

    @contextlib.asynccontextmanager
    async def ending_with(self, request: Request) -> AsyncIterator[None]:
        """Give up the answer where the client hangs up before it is there."""

        async def listen() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            self.ticket.cancel()
            self.replies.put_nowait(_GONE)

        listening = asyncio.create_task(listen())
        try:
            yield
        finally:
            listening.cancel()

    async def whole(self) -> dict[str, Any]:
        """Wait for the end and return a CreateChatCompletionResponse."""
        text = ""
        tokens: list[TokenLogprob] = []
        while True:
            match reply := await self.replies.get():
                case Delta():
                    text += reply.text
                    tokens += reply.tokens
                case Done():
                    return self._completion(text, tokens, reply)
                case Failed():
                    raise _error(reply)

    async def first(self) -> Reply:
        """Wait for the first reply, so that an early failure gets a proper status."""
        reply = await self.replies.get()
        if isinstance(reply, Failed):
            raise _error(reply)
        return reply

    async def stream(self, reply: Reply) -> AsyncIterator[str]:
        """Yield server-sent events, ``data: [DONE]`` last."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            held = ""
            while isinstance(reply, Delta):
                # Whether text is a call is known at its end only.
                held += reply.text
                if not self.chat.may_call:
                    yield self._chunk({"content": reply.text}, tokens=reply.tokens)
                reply = await self.replies.get()
            if isinstance(reply, Failed):
                yield _event(_api_error(reply).envelope())
                return
            finish: str = reply.finish_reason
            if self.chat.may_call:
                said, calls = split_calls(held) if reply.writes_calls else (held, [])
                if said:
                    yield self._chunk({"content": said})
                if calls:
                    numbered = [{"index": n, **call} for n, call in enumerate(calls)]
                    yield self._chunk({"tool_calls": numbered})
                    finish = "tool_calls"
            yield self._chunk({}, finish=finish)
            if self.chat.include_usage:
                yield self._chunk(None, usage=_usage(reply))
            yield "data: [DONE]\n\n"
        finally:
            self.ticket.cancel()

    def _completion(self, text: str, tokens: list[TokenLogprob], done: Done) -> dict[str, Any]:
        tagged = self.chat.may_call and done.writes_calls
        said, calls = split_calls(text) if tagged else (text, [])
        message: dict[str, Any] = {
            "role": "assistant",
            "content": said if said or not calls else None,
            "refusal": None,
            "annotations": [],
        }
        if calls:
            message["tool_calls"] = calls
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            **self._who(),
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": self._logprobs(tokens),
                    "finish_reason": "tool_calls" if calls else done.finish_reason,
                }
            ],
            "usage": _usage(done),
        }

    def _who(self) -> dict[str, str]:
        """Say which model answers: the version that an alias meant when the request came."""
        fingerprint = self.found.fingerprint
        said = {} if fingerprint is None else {"system_fingerprint": fingerprint}
        return {"model": self.found.model, **said}

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if self.chat.top_logprobs is None:
            return None
        content = [
            {
                **_likely(one.token, one.logprob),
                "top_logprobs": [_likely(token, logprob) for token, logprob in one.top],
            }
            for one in tokens
        ]
        return {"content": content, "refusal": None}

    def _chunk(
        self,
        delta: dict[str, Any] | None,
        *,
        tokens: Sequence[TokenLogprob] = (),
        finish: str | None = None,
        usage: dict[str, Any] | None = None,
    ) -> str:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": self._logprobs(tokens) if tokens else None,
            "finish_reason": finish,
        }
        chunk = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            **self._who(),
            "choices": [] if delta is None else [choice],
        }
        if self.chat.include_usage:
            chunk["usage"] = usage
        return _event(chunk)


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


def _likely(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _usage(done: Done) -> dict[str, Any]:
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "total_tokens": done.prompt_tokens + done.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
    }


def _error(failed: Failed) -> ApiError | ClientDisconnect:
    return ClientDisconnect() if failed is _GONE else _api_error(failed)


def _api_error(failed: Failed) -> ApiError:
    if failed.code == "server_error":
        return EngineFailedError(failed.message, code=failed.code)
    return BadRequestError(failed.message, param=failed.param, code=failed.code)


class EngineFailedError(ApiError):
    """The model could not be loaded or could not answer; the message says why."""

    status = 503
    type = "server_error"
