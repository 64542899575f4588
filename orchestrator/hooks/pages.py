"""A small HTTP server for pages: it carries questions and answers, and knows no page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.domain.web import WebRequest, WebResponse
from orchestrator.hooks.bounded import BoundedHandler, BoundedServer, Bounds

if TYPE_CHECKING:
    from collections.abc import Callable

# A form of fields; files are named, never sent.
BOUNDS = Bounds(body=64 * 1024, at_once=32, seconds=10.0, silence=5.0)


class PageServer(BoundedServer):
    """Answers every question with what `answer` makes of it."""

    def __init__(
        self,
        where: tuple[str, int],
        answer: Callable[[WebRequest], WebResponse],
        bounds: Bounds = BOUNDS,
    ) -> None:
        """Bind the port.

        Raises:
            OSError: the port cannot be had.
        """
        self.answer = answer
        super().__init__(where, _Handler, bounds, name="pages")


class _Handler(BoundedHandler):
    server: PageServer

    def do_GET(self) -> None:
        self._respond(b"")

    def do_HEAD(self) -> None:
        self._respond(b"")

    def do_POST(self) -> None:
        status, body = self.body()
        if body is None:
            self._send(WebResponse(status=status, kind="text/plain", body=b"refused\n"))
            self.drain()
            return
        self._respond(body)

    def send_error(self, code: int, *_: Any, **__: Any) -> None:
        """Refuse without repeating what was asked."""
        self._send(WebResponse(status=code, kind="text/plain", body=b"refused\n"))

    def _respond(self, body: bytes) -> None:
        self.server.heard(self.connection)
        # Of a header that came twice, both count: two hosts are no host of ours.
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        request = WebRequest(method=self.command, target=self.path, headers=headers, body=body)
        self._send(self.server.answer(request))

    def _send(self, response: WebResponse) -> None:
        self.close_connection = True
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("content-type", response.kind)
        self.send_header("content-length", str(len(response.body)))
        self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
