"""What every request passes first: the token, the size limit and the count of open requests."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from typing import TYPE_CHECKING

from ftctl_worker.api.answers import refusal
from ftctl_worker.errors import (
    ApiError,
    BadRequestError,
    PayloadTooLargeError,
    RequestTimeoutError,
    UnauthorizedError,
    UnsupportedMediaError,
)
from ftctl_worker.ids import new_id
from ftctl_worker.queue.uploads import PART_BYTES

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ftctl_worker.api.status import Counters
    from ftctl_worker.settings import Settings
    from ftctl_worker.tokens import Tokens

__all__ = ["Guard", "OpenRequests"]

UPLOAD_PATH = "/v1/files"
_PART_PATH = re.compile(r"/v1/uploads/[^/]+/parts")
_FORM_OVERHEAD = 64 * 1024
_DRAIN_BYTES = 1024 * 1024 * 1024


class OpenRequests:
    """Counts the requests that are being answered."""

    def __init__(self) -> None:
        """Start at none."""
        self._count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Count one more."""
        with self._lock:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        """Count one less."""
        with self._lock:
            self._count -= 1

    @property
    def any(self) -> bool:
        """Whether a request is being answered right now."""
        return self._count > 0


class Guard:
    """ASGI middleware in front of all routes; only ``/health`` needs no token."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        tokens: Tokens,
        open_requests: OpenRequests,
        counters: Counters,
    ) -> None:
        """Guard ``app``."""
        self._app = app
        self._settings = settings
        self._tokens = tokens
        self._open = open_requests
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 413 or 415, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req_", 32).encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counters.count(scope["method"], message["status"])
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                if body.stalled:  # what may still come of it is no new request
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        with self._open:
            limit, patience = self._limit(scope["path"]), self._settings.idle_seconds
            body = _LimitedBody(receive, limit, patience)
            try:
                headers = dict(scope["headers"])
                if scope["path"] != "/health":
                    scope["project"] = self._project(headers)
                _check_body_headers(headers, body.limit)
                await self._app(scope, body.receive, send_with_id)
            except _BodyTooLargeError:
                await body.drain()
                await refusal(_too_large(body.limit))(scope, receive, send_with_id)
            except ApiError as error:
                await refusal(error)(scope, receive, send_with_id)

    def _limit(self, path: str) -> int:
        if path == UPLOAD_PATH:
            return self._settings.max_upload_bytes + _FORM_OVERHEAD
        if _PART_PATH.fullmatch(path):
            return PART_BYTES + _FORM_OVERHEAD
        return self._settings.max_body_bytes

    def _project(self, headers: dict[bytes, bytes]) -> str:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        project = self._tokens.project_of(token.strip())
        if scheme.lower() != b"bearer" or project is None:
            raise UnauthorizedError(
                "Incorrect API key provided; send it as 'Authorization: Bearer KEY'.",
                code="invalid_api_key",
            )
        return project


class _BodyTooLargeError(Exception):
    """More came than the limit; no handler inside the application may answer this."""


class _LimitedBody:
    """Counts what a client sends, and stops reading beyond the limit."""

    def __init__(self, receive: Receive, limit: int, patience: float) -> None:
        self._receive = receive
        self._patience = patience
        self.limit = limit
        self._seen = 0
        self._ended = False
        self.stalled = False

    async def receive(self) -> Message:
        message = await self._next()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self.limit:
                raise _BodyTooLargeError
        return message

    async def drain(self) -> None:
        """Read and drop the rest: a client that is still sending would miss the answer."""
        dropped = 0
        with contextlib.suppress(RequestTimeoutError):
            while not self._ended and dropped < _DRAIN_BYTES:
                dropped += len((await self._next()).get("body", b""))

    async def _next(self) -> Message:
        """Receive a piece; what comes after the end of the body may take any time."""
        if self._ended:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._patience)
        except TimeoutError as error:
            self.stalled = True
            raise RequestTimeoutError(
                f"Nothing of the request's body came for {self._patience:g} seconds.",
                code="request_timeout",
            ) from error
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message


def _check_body_headers(headers: dict[bytes, bytes], limit: int) -> None:
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMediaError("Compressed bodies are not accepted; send the body plain.")
    if b"content-length" in headers and b"transfer-encoding" in headers:
        # A proxy in front may have believed the other one.
        raise BadRequestError("Send Content-Length or Transfer-Encoding, not both.")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise BadRequestError("The Content-Length header is not a number.")
    if int(length) > limit:
        raise _BodyTooLargeError


def _too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The request body is larger than this server takes ({limit:,} bytes).",
        code="payload_too_large",
    )
