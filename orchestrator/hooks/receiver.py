"""A small HTTP server for signed webhooks: nothing is done for whoever has not signed."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.domain.adapters.signature import ID, Doubt, doubt
from orchestrator.hooks.bounded import BoundedHandler, BoundedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.clock import Clock
    from orchestrator.hooks.bounded import Bounds

_SECONDS_BETWEEN_LINES = 60.0
_STATUS = {Doubt.MALFORMED: 400, Doubt.FORGED: 401, Doubt.STALE: 401}


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


class Receiver(BoundedServer):
    """Answers POST with 200 when a message is kept, else with a status and nothing more."""

    def __init__(self, where: tuple[str, int], door: Door, bounds: Bounds | None = None) -> None:
        """Bind the port.

        Raises:
            OSError: the port cannot be had.
        """
        self.door = door
        self._counting, self._refused, self._quiet_until = threading.Lock(), 0, 0.0
        super().__init__(where, _Handler, bounds, name="webhooks")

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


class _Handler(BoundedHandler):
    server: Receiver

    def do_GET(self) -> None:
        """For proxies that ask whether somebody is there."""
        self._answer(200 if self.path.partition("?")[0] == "/health" else 404)

    def do_POST(self) -> None:
        status, body = self.body()
        if body is not None:
            status = self._received(body)
        if status != 200:
            self.server.count_refused()
        self._answer(status)

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

    def _answer(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("content-length", "0")
        self.send_header("connection", "close")
        self.end_headers()
        if status == 413:
            self.drain()
