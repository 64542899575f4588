"""A small HTTP server for signed webhooks: nothing is done for whoever has not signed."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any

from orchestrator.domain.signature import ID, Doubt, doubt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.clock import Clock

MOST_BYTES = 1024 * 1024
MOST_AT_ONCE = 32
SECONDS_FOR_ALL = 10.0
SECONDS_OF_SILENCE = 5.0
_SECONDS_BETWEEN_LINES = 60.0
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)
_STATUS = {Doubt.MALFORMED: 400, Doubt.FORGED: 401, Doubt.STALE: 401}


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one client, and all of them, may take.

    Attributes:
        body: bytes of one message.
        at_once: connections; the next one is told to come back.
        seconds: from the first byte to the answer.
        silence: seconds without a byte.
    """

    body: int = MOST_BYTES
    at_once: int = MOST_AT_ONCE
    seconds: float = SECONDS_FOR_ALL
    silence: float = SECONDS_OF_SILENCE


@dataclass(frozen=True, kw_only=True)
class Door:
    """Who is let in, and what becomes of what they bring.

    Attributes:
        keys: secrets that are good now.
        take: is given the message's id and what it says, and returns when both are safe.
        say: is told, once a minute at most, how many were not let in.
    """

    keys: Sequence[bytes] = field(repr=False)
    clock: Clock
    take: Callable[[str, Mapping[str, Any]], None]
    say: Callable[[str], None]


class Receiver(ThreadingMixIn, HTTPServer):
    """Answers POST with 200 when a message is kept, else with a status and nothing more."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, where: tuple[str, int], door: Door, bounds: Bounds | None = None) -> None:
        """Bind the port; nothing is answered before `serve_forever`.

        Raises:
            OSError: the port cannot be had.
        """
        self.door = door
        self.bounds = bounds or Bounds()
        self._thread: threading.Thread | None = None
        self._counting, self._refused, self._quiet_until = threading.Lock(), 0, 0.0
        self._since: dict[socket.socket, float] = {}
        self._places = threading.BoundedSemaphore(self.bounds.at_once)
        self.address_family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
        super().__init__(where, _Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        shown = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{shown}:{port}"

    def start(self) -> None:
        """Answer in the background, until the block around it ends."""
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="webhooks"
        )
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Take no more, and let those who are in finish."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()

    def count_refused(self) -> None:
        """Somebody was not let in; a flood of them must not flood the log."""
        with self._counting:
            self._refused += 1
            now = time.monotonic()
            if now < self._quiet_until:
                return
            count, self._refused = self._refused, 0
            self._quiet_until = now + _SECONDS_BETWEEN_LINES
        self.door.say(f"refused {count}: not signed with a secret of ours, too old, or no webhook")

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ftctl"
    sys_version = ""
    disable_nagle_algorithm = True
    server: Receiver

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.bounds.silence)

    def do_GET(self) -> None:
        """For proxies that ask whether somebody is there."""
        self._answer(200 if self.path.partition("?")[0] == "/health" else 404)

    def do_POST(self) -> None:
        status, body = self._body()
        if body is not None:
            status = self._received(body)
        if status != 200:
            self.server.count_refused()
        self._answer(status)

    def log_message(self, *_: Any) -> None:
        """The door tells what is worth telling."""

    def send_error(self, code: int, *_: Any, **__: Any) -> None:
        """Refuse without a page."""
        self._answer(code)

    def _received(self, body: bytes) -> int:
        door = self.server.door
        headers = {name.lower(): value for name, value in self.headers.items()}
        why = doubt(door.keys, headers, body, door.clock.now())
        if why is not None:
            return _STATUS[why]
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            return 400
        if not isinstance(said, dict):
            return 400
        try:
            door.take(headers[ID], said)
        except Exception:  # noqa: BLE001 - the sender must hear that it is not kept, and try again
            return 503
        return 200

    def _body(self) -> tuple[int, bytes | None]:
        length = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdigit()):
            return 411, None
        if len(length) > 9 or int(length) > self.server.bounds.body:
            return 413, None
        body = self.rfile.read(int(length))
        return (400, None) if len(body) < int(length) else (200, body)

    def _answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("content-length", "0")
        self.send_header("connection", "close")
        self.end_headers()
        if status == 413:
            self._drain()

    def _drain(self) -> None:
        """Read what is on its way, or the client sees a broken connection instead of the answer."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            left = 4 * self.server.bounds.body
            while left > 0 and (some := self.rfile.read1(65536)):
                left -= len(some)
