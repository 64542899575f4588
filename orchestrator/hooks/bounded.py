"""A small HTTP server that no client can hold: bounded bodies, connections and time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

MOST_BYTES = 1024 * 1024
MOST_AT_ONCE = 32
SECONDS_FOR_ALL = 10.0
SECONDS_OF_SILENCE = 5.0
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one client, and all of them, may take.

    Attributes:
        body: bytes of one message.
        at_once: connections; the next one is told to come back.
        seconds: from the first byte to the answer, or to the end of the question where `heard` is
            called.
        silence: seconds without a byte.
    """

    body: int = MOST_BYTES
    at_once: int = MOST_AT_ONCE
    seconds: float = SECONDS_FOR_ALL
    silence: float = SECONDS_OF_SILENCE


class BoundedServer(ThreadingMixIn, HTTPServer):
    """A thread a connection, few of them, and each is hung up on when it takes too long."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(
        self,
        where: tuple[str, int],
        handler: type[BoundedHandler],
        bounds: Bounds | None = None,
        *,
        name: str,
    ) -> None:
        """Bind the port; nothing is answered before `start`.

        Raises:
            OSError: the port cannot be had.
        """
        self.bounds = bounds or Bounds()
        self._name = name
        self._thread: threading.Thread | None = None
        self._since: dict[socket.socket, float] = {}
        self._places = threading.BoundedSemaphore(self.bounds.at_once)
        self.address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        super().__init__(where, handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{shown}:{port}"

    def start(self) -> None:
        """Answer in the background, until the block around it ends."""
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.1}, name=self._name
        )
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Take no more, and let those who are in finish."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()

    def heard(self, connection: Any) -> None:
        """The whole question is here: from now on it is our time that passes, not the client's."""
        self._since.pop(connection, None)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, if there is a place left."""
        if not self._places.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.settimeout(0.1)
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        self._since[request] = time.monotonic()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and free the place whatever happens."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._since.pop(request, None)
            self._places.release()

    def service_actions(self) -> None:
        """Between two connections: hang up on those that take too long."""
        self._hang_up(older_than=self.bounds.seconds)

    def server_close(self) -> None:
        """Let those who are in finish, for a short while."""
        cut = threading.Timer(1.0, self._hang_up, kwargs={"older_than": 0.0})
        cut.start()
        super().server_close()
        cut.cancel()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""

    def _hang_up(self, *, older_than: float) -> None:
        now = time.monotonic()
        for connection, since in list(self._since.items()):
            if now - since > older_than:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class BoundedHandler(BaseHTTPRequestHandler):
    """One question a connection, of a bounded body; what it is answered with, a subclass says."""

    protocol_version = "HTTP/1.1"
    server_version = "ftctl"
    sys_version = ""
    disable_nagle_algorithm = True
    server: BoundedServer

    def setup(self) -> None:
        """Wait for no byte longer than the bounds say."""
        super().setup()
        self.connection.settimeout(self.server.bounds.silence)

    def log_message(self, *_: Any) -> None:
        """Whoever serves tells what is worth telling."""

    def body(self) -> tuple[int, bytes | None]:
        """Status 200 and the body, or why there is none."""
        length = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit()):
            return 411, None
        if len(length) > 9 or int(length) > self.server.bounds.body:
            return 413, None
        body = self.rfile.read(int(length))
        return (400, None) if len(body) < int(length) else (200, body)

    def drain(self) -> None:
        """Read what is on its way, or the client sees a broken connection instead of the answer."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            left = 4 * self.server.bounds.body
            while left > 0 and (some := self.rfile.read1(65536)):
                left -= len(some)
