"""Connections: those that say nothing are closed, what is no HTTP is answered in the envelope."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ftctl_worker.errors import BadRequestError

if TYPE_CHECKING:
    import asyncio
    from typing import Any

__all__ = ["patient"]


def patient(seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol, which waits ``seconds`` and no longer for the head of a request.

    uvicorn itself bounds only the pause after an answer; a client that connects and sends nothing,
    or a head without its end, would keep its connection as long as it likes.
    """

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:  # an answer has begun
                self.transport.close()
                return
            error = BadRequestError(msg, code="invalid_http")
            body = json.dumps(error.envelope()).encode()
            head = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            answer = h11.Response(status_code=error.status, headers=head, reason=b"Bad Request")
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
            self.transport.close()

        def _watch(self) -> None:
            """Count from the first byte of a head, or from the connection, to the end of the head."""
            if self.conn.their_state is not h11.IDLE:
                self._forget()
            elif self._timer is None:
                self._timer = self.loop.call_later(seconds, self.transport.close)

        def _forget(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Patient
