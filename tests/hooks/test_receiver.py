"""The door for webhooks against those who want to open, hold or break it."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.domain.adapters.signature import SIGNATURE, signed
from orchestrator.domain.clock import ManualClock
from orchestrator.hooks.bounded import Bounds
from orchestrator.hooks.receiver import Door, Receiver

KEY = b"k" * 32
CLOCK = ManualClock()
SAID = {"type": "fine_tuning.job.succeeded", "data": {"id": "ftjob-1"}}


class Taken:
    """A receiver that runs, and what it took."""

    def __init__(self, bounds: Bounds | None, *, broken: bool = False) -> None:
        self.messages: queue.Queue[tuple[str, Mapping[str, Any]]] = queue.Queue()
        self.lines: list[str] = []
        self.broken = broken
        door = Door(keys=[KEY], clock=CLOCK, take=self._take, say=self.lines.append)
        self.receiver = Receiver(("127.0.0.1", 0), door, bounds)
        self.port = self.receiver.server_address[1]

    def _take(self, message_id: str, said: Mapping[str, Any]) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.messages.put((message_id, said))

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with closing(connection):
            given = signed(KEY, "wh_1", CLOCK.now(), body) if headers is None else headers
            connection.request("POST", "/", body, dict(given))
            answer = connection.getresponse()
            assert answer.read() == b""
            return answer.status

    def raw(self, *parts: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 20) as client:
            for part in parts:
                client.sendall(part)
            return client.recv(65536)


@contextmanager
def running(bounds: Bounds | None = None, *, broken: bool = False) -> Iterator[Taken]:
    taken = Taken(bounds, broken=broken)
    with taken.receiver:
        taken.receiver.start()
        yield taken


@pytest.fixture
def taken() -> Iterator[Taken]:
    with running() as taken:
        yield taken


def body_of(value: object = SAID) -> bytes:
    return json.dumps(value).encode()


def test_what_is_signed_is_taken(taken: Taken):
    assert taken.post(body_of()) == 200
    assert taken.messages.get_nowait() == ("wh_1", SAID)


def test_what_is_not_is_refused_without_a_word(taken: Taken):
    body = body_of()
    good = signed(KEY, "wh_1", CLOCK.now(), body)
    for part, status in [
        (signed(b"x" * 32, "wh_1", CLOCK.now(), body), 401),
        (signed(KEY, "wh_1", CLOCK.now().replace(year=2025), body), 401),
        ({name: value for name, value in good.items() if name != SIGNATURE}, 400),
        ({}, 400),
    ]:
        assert taken.post(body, part) == status
    assert taken.post(body + b" ", good) == 401
    for junk in (b"[]", b"{", b"[" * 100_000, b"\xff", b""):
        assert taken.post(junk) == 400
    assert taken.messages.empty()
    # One line, and not one for each.
    assert taken.lines == ["refused 1: not signed with a secret of ours, too old, or no webhook"]


def test_a_body_is_bounded(taken: Taken):
    exact = body_of({"x": "a" * (1024 * 1024 - 9)})
    assert len(exact) == 1024 * 1024
    assert taken.post(exact) == 200
    assert taken.post(exact + b" ") == 413
    head = b"POST / HTTP/1.1\r\nhost: x\r\n"
    assert b" 413 " in taken.raw(head + b"content-length: 99999999999999999999\r\n\r\n")
    assert b" 411 " in taken.raw(head + b"\r\n")
    assert b" 411 " in taken.raw(head + b"transfer-encoding: chunked\r\n\r\n")
    assert b" 411 " in taken.raw(head + b"content-length: -1\r\n\r\n")
    assert b" 411 " in taken.raw(head + "content-length: ٣\r\n\r\n".encode())


def test_other_methods_and_paths(taken: Taken):
    assert b" 200 " in taken.raw(b"GET /health HTTP/1.1\r\n\r\n")
    assert b" 404 " in taken.raw(b"GET / HTTP/1.1\r\n\r\n")
    assert b" 501 " in taken.raw(b"BREW / HTTP/1.1\r\n\r\n")
    assert b" 400 " in taken.raw(b"POST / hello HTTP/1.1\r\n\r\n")
    assert b"hello" not in taken.raw(b"POST / hello/1.1\r\n\r\n")


def test_what_cannot_be_kept_is_not_acknowledged():
    with running(broken=True) as taken:
        assert taken.post(body_of()) == 503


def test_a_slow_client_is_hung_up_on_and_a_full_house_says_so():
    bounds = Bounds(at_once=2, seconds=0.5, silence=30.0)
    with running(bounds) as taken:
        head = b"POST / HTTP/1.1\r\ncontent-length: 100\r\n\r\n"
        with (
            socket.create_connection(("127.0.0.1", taken.port), 20) as one,
            socket.create_connection(("127.0.0.1", taken.port), 20) as two,
        ):
            one.sendall(head + b"{")
            two.sendall(head[:10])
            assert taken.raw().startswith(b"HTTP/1.1 503")
            # Both are silent for half a minute's right, and out after half a second.
            one.settimeout(10)
            two.settimeout(10)
            assert b" 200 " not in one.recv(100)
            two.recv(100)
        # Their seats are free once their threads have ended, a moment after the answer.
        assert next(each for each in answers(taken) if each != 503) == 200


def answers(taken: Taken) -> Iterator[int]:
    """What the same delivery is answered with, again and again."""
    for _ in range(1000):
        # Who is sent away may still be writing.
        with suppress(ConnectionError):
            yield taken.post(body_of())


def test_it_ends_though_somebody_holds_on():
    taken = Taken(Bounds(seconds=60.0, silence=60.0))
    with socket.create_connection(("127.0.0.1", taken.port), 20) as client:
        with taken.receiver:
            taken.receiver.start()
            client.sendall(b"POST / HTTP/1.1\r\n")
            assert taken.post(body_of()) == 200
        client.settimeout(10)
        assert client.recv(100) == b""
    assert not [each for each in threading.enumerate() if each.name == "webhooks"]


@pytest.fixture(scope="module")
def kept_open() -> Iterator[Taken]:
    with running() as taken:
        yield taken


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(min_size=1, max_size=400))
def test_noise_neither_gets_in_nor_breaks_it(kept_open: Taken, raw: bytes):
    with socket.create_connection(("127.0.0.1", kept_open.port), 20) as client:
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        try:
            answer = client.recv(65536)
        except ConnectionResetError:
            answer = b""
    assert b" 200 " not in answer.split(b"\r\n")[0] or raw.startswith(b"GET /health")
    assert kept_open.messages.empty()
