"""The simulated host behind a loopback port."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from providers.simulator.exchange import call
from providers.simulator.host import SimulatedHost

if TYPE_CHECKING:
    from types import TracebackType

    from providers.simulator.exchange import Reply


class Simulator(SimulatedHost):
    """A host that costs nothing, at a URL.

    ```python
    with Simulator(dialect="azure") as sim:
        sim.order_fault("create_job", "drop_after_accept")
        ...                       # ask sim.url
        assert len(sim.ledger) == 1
    ```
    """

    def __init__(
        self, dialect: str = "openai", *, host: str = "127.0.0.1", port: int = 0, **kwargs: Any
    ) -> None:
        """Bind the port; nothing is answered before `start` or `serve`.

        Args:
            dialect: openai | azure | worker.
            host: address to listen on.
            port: 0 takes a free one.
            kwargs: as for SimulatedHost.
        """
        super().__init__(dialect, **kwargs)
        self.stopping = threading.Event()
        self._server = _Server((host, port), _Handler, self)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """What to use as base URL."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}{self.dialect.prefix}"

    def start(self) -> Self:
        """Answer in the background."""
        self._thread = threading.Thread(target=self.serve, name="simulator", daemon=True)
        self._thread.start()
        return self

    def serve(self) -> None:
        """Answer until `close` is called or a signal arrives."""
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        """Stop, and give the port back."""
        self.stopping.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        """Answer in the background."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, where: tuple[str, int], handler: type[_Handler], host: Simulator) -> None:
        self.simulated = host
        self._connections: set[Any] = set()
        super().__init__(where, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Hang up on clients that keep their connections open, so that no thread waits on them."""
        import socket

        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet per answer; otherwise each waits 40 ms for the client's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_PUT(self) -> None:
        self._respond()

    def do_DELETE(self) -> None:
        self._respond()

    def log_message(self, *_: Any) -> None:
        """Say nothing: tests and rehearsals read the ledger."""

    def _respond(self) -> None:
        host = self.server.simulated
        reply = host.respond(call(self.command, self.path, dict(self.headers), self._body()))
        if reply is None:
            self.close_connection = True
            return
        if reply.wait:
            host.stopping.wait(reply.wait)
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        line, self.wfile = self.wfile, io.BytesIO()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        answer, self.wfile = self.wfile.getvalue() + reply.body, line
        self.wfile.write(answer[: reply.cut])
        self.wfile.flush()
        self.close_connection |= not reply.is_whole

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body
