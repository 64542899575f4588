"""Who may see the pages: a link that works once, a session in a cookie, a mark on every form."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.domain.web import WebRequest

LIFE = timedelta(hours=12)
_MOST_SESSIONS = 16
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Session:
    """A browser that was let in.

    Attributes:
        key: what its cookie holds.
        mark: what every form of it must carry.
    """

    key: str = field(repr=False)
    mark: str = field(repr=False)


class Gatekeeper:
    """Start links, sessions and hosts; everything lives as long as the process."""

    def __init__(self, now: Callable[[], datetime], *, names: frozenset[str] = frozenset()) -> None:
        """Take the time, and by which other names this machine is called in an address."""
        self._now, self._names = now, names
        self._lock = threading.Lock()
        self._links: set[str] = set()
        self._sessions: dict[str, datetime] = {}

    def new_link(self) -> str:
        """The secret of a start link that opens once."""
        link = secrets.token_urlsafe(32)
        with self._lock:
            self._links.add(link)
        return link

    def exchange(self, link: str) -> Session | None:
        """A session for a start link that was not used yet; None otherwise."""
        with self._lock:
            known = next((one for one in self._links if _same(one, link)), None)
            if known is None:
                return None
            self._links.discard(known)
            key = secrets.token_urlsafe(32)
            # The oldest browser is forgotten, so that no flood of links fills the memory.
            for old in list(self._sessions)[: len(self._sessions) + 1 - _MOST_SESSIONS]:
                del self._sessions[old]
            self._sessions[key] = self._now()
        return _session(key)

    def session(self, request: WebRequest, cookie: str) -> Session | None:
        """The session of a request, if it was let in within the last twelve hours of use."""
        given = request.cookies.get(cookie, "")
        with self._lock:
            known = next((key for key in self._sessions if _same(key, given)), None)
            if known is None:
                return None
            if self._now() - self._sessions[known] > LIFE:
                del self._sessions[known]
                return None
            self._sessions[known] = self._now()
        return _session(known)

    def knows_host(self, request: WebRequest, port: int) -> bool:
        """Whether the address names this machine: a name that anybody can point here does not count."""
        host, said_port = _host(request.headers.get("host", ""))
        # A proxy in front has a port of its own, and its name was given to us.
        if host is None or host in self._names:
            return host is not None
        return said_port == port and (host == "localhost" or _is_address(host))


def is_own_form(request: WebRequest, session: Session) -> bool:
    """Whether a POST came from a form of ours, in that session."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    origin = request.headers.get("origin")
    if kind != _FORM or (origin is not None and not _is_here(origin, request)):
        return False
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    return _same(session.mark, request.form.get("mark", ""))


def _session(key: str) -> Session:
    return Session(key, hmac.new(key.encode(), b"forms", hashlib.sha256).hexdigest())


def _is_here(origin: str, request: WebRequest) -> bool:
    return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()


def _host(header: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(f"//{header}")
        if parts.path or parts.query or parts.fragment or parts.username is not None:
            return None, None
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def _is_address(host: str) -> bool:
    """Numbers are not looked up, so nobody can point them elsewhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
