"""A line to a host that spoils one answer: its fields, its bytes, its headers or its connection.

What is asked reaches the host unchanged and takes effect there; only what comes back is spoilt. A line
that is bad by chance may also lose a request, deliver it late, or deliver it twice.
"""

from __future__ import annotations

import copy
import http.client
import json
import random
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**63, -(2**63) - 1, 10**400, float("nan"), float("inf"),
    "", " ", "x" * 70_000, "\ud800", "\x00", "\x1b[2J\x1b]0;owned\x07", "<script>alert(1)</script>",
    "'; DROP TABLE jobs; --", "../../etc/passwd", "\u202eevil", [], {}, [[]], [None], ["x", 1, {}],
    {"": ""}, {"id": None}, {"data": []}, 9_999_999_999_999, -1e300, "succeeded ", "Running",
)  # fmt: skip
_STATUSES = (204, 206, 299, 301, 302, 304, 307, 400, 401, 403, 404, 409, 418, 422, 429, 500, 502, 503,
             599)  # fmt: skip
BYTES = (
    "html", "empty", "no json", "not utf-8", "utf-16", "a mark of order", "half", "too long by header",
    "too short by header", "two lengths", "broken chunks", "chunks without an end", "not gzip",
    "a huge header", "no status line", "a folded header", "another status", "wish to wait",
    "an array", "a number", "nested", "doubled keys", "closed", "reset", "silent",
)  # fmt: skip
TWICE = "delivered twice"
LINE = ("lost", "late", TWICE, "closed", "reset", "silent", "half", "chunks without an end")
LATE_SECONDS = 0.5


@dataclass
class Mangler:
    """Passes on whatever comes, and spoils the answers it was told to spoil.

    Attributes:
        host: of the simulated host.
        orders: by the number of the request from now on: what happens to its answer.
        silence: seconds without a word, more than anybody waits.
        share: of the requests that meet one of the ways of `LINE`, without an order.
        seen: method, path and what was done, in order.
    """

    host: tuple[str, int]
    chance: random.Random
    silence: float = 2.0
    share: float = 0.0
    orders: dict[int, str] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def order(self, numbers: Iterable[int], what: str) -> None:
        """Spoil the answers to the requests of these numbers, from 0, from now on."""
        with self._lock:
            self._count, self.orders = 0, dict.fromkeys(numbers, what)

    def heal(self) -> None:
        """Spoil nothing."""
        with self._lock:
            self.orders = {}

    def serve(self, listener: socket.socket) -> None:
        """Answer until the listener is closed."""
        while not self._stop.is_set():
            try:
                line, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(line,), daemon=True).start()

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._stop.set()

    def _converse(self, line: socket.socket) -> None:
        with line, line.makefile("rb") as asked:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while request := _request(asked):
                    if not self._one(line, *request):
                        return
            except (OSError, ValueError, http.client.HTTPException):
                return

    def _one(
        self, line: socket.socket, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> bool:
        """Pass one request on; whether the line is still good."""
        with self._lock:
            what = self.orders.pop(self._count, "")
            self._count += 1
            if self.chance.random() < self.share:
                what = self.chance.choice(LINE)
        self.seen.append((method, path.partition("?")[0], what))
        if what in {"lost", "late"}:
            line.close()
            self._stop.wait(LATE_SECONDS)
            if what == "late":
                self._asked(method, path, headers, body)
            return False
        if what == TWICE:
            self._asked(method, path, headers, body)
        status, kind, answer = self._asked(method, path, headers, body)
        if not what:
            line.sendall(_plain(status, kind, answer))
            return True
        sent = self._spoilt(what, status, kind, answer)
        if sent is None:
            return self._cut(line, what)
        line.sendall(sent)
        return False

    def _asked(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(*self.host, timeout=30)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.headers.get("content-type", ""), response.read()
        finally:
            connection.close()

    def _cut(self, line: socket.socket, what: str) -> bool:
        if what == "silent":
            self._stop.wait(self.silence)
        if what == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    def _spoilt(self, what: str, status: int, kind: str, answer: bytes) -> bytes | None:
        if what in {"closed", "reset", "silent"}:
            return None
        if what == "a field":
            return _plain(status, kind, self._with_an_odd_field(answer))
        made = _raw(what, status, kind, answer, self.chance)
        return made if made is not None else _plain(status, kind, answer)

    def _with_an_odd_field(self, answer: bytes) -> bytes:
        """One field of the answer, however deep, is gone, doubled or something else."""
        try:
            told = json.loads(answer)
        except ValueError:
            return answer
        told = copy.deepcopy(told)
        places = list(_places(told))
        if not places:
            return answer
        holder, key = self.chance.choice(places)
        if self.chance.random() < 0.2:
            del holder[key]
        elif self.chance.random() < 0.2 and isinstance(holder, list):
            holder.append(holder[key])
        else:
            holder[key] = copy.deepcopy(self.chance.choice(_ODD))
        return json.dumps(told).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every field and every entry, as its holder and its key; not the names by which jobs are known.

    A host that calls a job by another job's name in one answer of many is not a host that fails: it
    lies, and nothing can be known of what it does.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield value, key
            yield from _places(inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value[:5]):
            yield value, index
            yield from _places(inner)


def _raw(what: str, status: int, kind: str, answer: bytes, chance: random.Random) -> bytes | None:
    head = f"HTTP/1.1 {status} OK\r\ncontent-type: {kind or 'application/json'}\r\n"
    plain = {
        "html": b"<!doctype html><html><body>It works!</body></html>",
        "empty": b"",
        "no json": b'{"id": ',
        "not utf-8": b"\xff\xfe\xfd" + answer,
        "utf-16": answer.decode("utf-8", "replace").encode("utf-16"),
        "a mark of order": b"\xef\xbb\xbf" + answer,
        "half": answer[: len(answer) // 2],
        "an array": b"[" + answer + b"]",
        "a number": b"12",
        "nested": b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "doubled keys": b'{"id": 3, "data": 4, "status": {}, ' + answer.lstrip()[1:],
    }  # fmt: skip
    if what in plain:
        return _plain(status, "text/html" if what == "html" else kind, plain[what])
    if what == "another status":
        return _plain(chance.choice(_STATUSES), kind, answer)
    if what == "wish to wait":
        wish = chance.choice(
            ("0", "-5", "99999999999", "soon", "Wed, 21 Oct 2099 07:28:00 GMT", "")
        )
        return _plain(429, kind, b"{}", f"retry-after: {wish}\r\n")
    headers = {
        "too long by header": f"content-length: {len(answer) + 7}\r\n",
        "too short by header": f"content-length: {max(0, len(answer) - 7)}\r\n",
        "two lengths": f"content-length: 3\r\ncontent-length: {len(answer)}\r\n",
        "not gzip": f"content-encoding: gzip\r\ncontent-length: {len(answer)}\r\n",
        "a huge header": f"x-odd: {'y' * 200_000}\r\ncontent-length: {len(answer)}\r\n",
        "a folded header": f"x-odd: a\r\n\tb\r\ncontent-length: {len(answer)}\r\n",
    }
    if what in headers:
        return (head + headers[what] + "\r\n").encode() + answer
    if what == "broken chunks":
        return (head + "transfer-encoding: chunked\r\n\r\nzz\r\n").encode() + answer
    if what == "chunks without an end":
        size = f"{len(answer):x}\r\n"
        return (head + "transfer-encoding: chunked\r\n\r\n" + size).encode() + answer + b"\r\n"
    if what == "no status line":
        return answer
    return None


def _plain(status: int, kind: str, body: bytes, more: str = "") -> bytes:
    if status in {204, 304}:
        return f"HTTP/1.1 {status} Odd\r\n{more}\r\n".encode()
    return (
        f"HTTP/1.1 {status} Odd\r\ncontent-type: {kind or 'application/json'}\r\n{more}"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def _request(stream: Any) -> tuple[str, str, dict[str, str], bytes] | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers: dict[str, str] = {}
    while (text := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    if headers.pop("transfer-encoding", "") == "chunked":
        body = b""
        while size := int(stream.readline().split(b";")[0], 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    else:
        body = stream.read(int(headers.get("content-length", 0)))
    headers.pop("connection", None)
    headers.pop("content-length", None)
    return line[0], line[1], headers, body


@contextmanager
def a_mangler(host_port: int, chance: random.Random) -> Iterator[tuple[Mangler, int]]:
    """A mangler before that port of this machine, and its own port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Mangler(("127.0.0.1", host_port), chance)
        thread = threading.Thread(target=made.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield made, listener.getsockname()[1]
        finally:
            made.stop()
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()
