"""A request on its way through the engine: its answers as they come, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from ftctl_worker.errors import ApiError, BadRequestError, ModelError, NotFoundError
from ftctl_worker.serving.replies import Delta, Done, Failed, Reply, TokenLogprob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from ftctl_worker.serving.chat_request import ChatRequest
    from ftctl_worker.serving.engine import Engine
    from ftctl_worker.serving.lookup import Found, Lookup
    from ftctl_worker.serving.ticket import Ticket

__all__ = ["Answer", "Asked", "find_model"]

_GONE = Failed("client_gone", "The client hung up.")


@dataclass
class Answer:
    """One answer to a request, as far as it has come."""

    index: int
    text: str = ""
    tokens: list[TokenLogprob] = field(default_factory=list)
    done: Done | None = None


@dataclass
class Asked:
    """One request, and its ``n`` answers."""

    chat: ChatRequest
    found: Found
    answers: list[Answer] = field(init=False)
    _tickets: list[Ticket] = field(default_factory=list, init=False)
    _replies: asyncio.Queue[tuple[int, Reply]] = field(default_factory=asyncio.Queue, init=False)

    def __post_init__(self) -> None:
        """Begin with nothing said."""
        self.created = int(time.time())
        self.answers = [Answer(index) for index in range(self.chat.n)]

    def submit(self, engine: Engine) -> None:
        """Give the request to an engine.

        Raises:
            QueueFullError: as many wait as may.
        """
        loop = asyncio.get_running_loop()

        def deliver(index: int, reply: Reply) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so has the client
                loop.call_soon_threadsafe(self._replies.put_nowait, (index, reply))

        listeners = [partial(deliver, index) for index in range(self.chat.n)]
        self._tickets = engine.submit(self.chat, self.found.target, *listeners)

    @contextlib.asynccontextmanager
    async def ending_with(self, request: Request) -> AsyncIterator[None]:
        """Give up the answers where the client hangs up before they are there."""

        async def listen() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            self.cancel()
            self._replies.put_nowait((0, _GONE))

        listening = asyncio.create_task(listen())
        try:
            yield
        finally:
            listening.cancel()

    def cancel(self) -> None:
        """Say that nobody waits for the answers any more."""
        for ticket in self._tickets:
            ticket.cancel()

    async def replies(self) -> AsyncIterator[tuple[Answer, Delta | Done]]:
        """Yield what comes until every answer has its end.

        Raises:
            ApiError: there is no answer, or no more of it.
            ClientDisconnect: nobody waits for it.
        """
        while any(answer.done is None for answer in self.answers):
            index, reply = await self._replies.get()
            answer = self.answers[index]
            if isinstance(reply, Failed):
                self.cancel()
                raise ClientDisconnect if reply is _GONE else _api_error(reply)
            if isinstance(reply, Done):
                answer.done = reply
            else:
                answer.text += reply.text
                answer.tokens += reply.tokens
            yield answer, reply

    async def whole(self) -> list[Done]:
        """Wait for all answers, and return their ends.

        Raises:
            ApiError: there is no answer.
            ClientDisconnect: nobody waits for it.
        """
        async for _ in self.replies():
            pass
        return self.ends

    @property
    def ends(self) -> list[Done]:
        """The ends of the answers that have ended."""
        return [answer.done for answer in self.answers if answer.done is not None]

    @property
    def headers(self) -> dict[str, str] | None:
        """Which version of an adapter answers: what an alias meant when the request came."""
        return {"x-ftctl-adapter": self.found.model} if self.found.fingerprint else None


def find_model(lookup: Lookup, name: str, project: str) -> Found:
    """Return the model of a request.

    Raises:
        NotFoundError: the project has no such model.
    """
    try:
        return lookup.find(name, project)
    except ModelError as error:
        raise NotFoundError(str(error), param="model", code="model_not_found") from error


def _api_error(failed: Failed) -> ApiError:
    if failed.code == "server_error":
        return EngineFailedError(failed.message, code=failed.code)
    return BadRequestError(failed.message, param=failed.param, code=failed.code)


class EngineFailedError(ApiError):
    """The model could not be loaded or could not answer; the message says why."""

    status = 503
    type = "server_error"
