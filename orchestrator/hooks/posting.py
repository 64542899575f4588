"""One POST to an address that somebody else wrote down: no redirect, no surprise, no long wait."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from orchestrator.domain.clock import SystemClock
from orchestrator.domain.jobs.notification import Outcome
from orchestrator.domain.profile import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from urllib.parse import SplitResult

_GONE = 410
_MOST_ADDRESSES = 3
_HEADERS = {"content-type": "application/json", "user-agent": "ftctl", "connection": "close"}


class _RefusedError(Exception):
    """Nothing was sent, and why."""


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    *,
    allow_private: bool = False,
) -> Outcome:
    """Send once; only a 2xx is a yes.

    Args:
        url: https, or http to this machine.
        body: JSON.
        headers: beside the usual ones.
        timeout: seconds for all of it, from the name's address to the last header.
        allow_private: connect to an address that is not public.
    """
    parts = urlsplit(url)
    try:
        with _connected(parts, timeout, allow_private=allow_private) as connection:
            connection.request("POST", _target(parts), body, {**_HEADERS, **headers})
            answer = connection.getresponse()
            return _outcome(answer.status, answer.headers.get("retry-after"))
    except _RefusedError as error:
        return Outcome(ok=False, told=str(error))
    except TimeoutError:
        return Outcome(ok=False, told=f"no answer in {timeout:g} s")
    except (OSError, http.client.HTTPException) as error:
        return Outcome(ok=False, told=f"not reached: {_said(error)}")


@contextlib.contextmanager
def _connected(
    parts: SplitResult, timeout: float, *, allow_private: bool
) -> Iterator[http.client.HTTPConnection]:
    deadline = time.monotonic() + timeout
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    # The address that was looked at is the one that is used: a second look could find another.
    raw = _dialled(_addresses(host, port, allow_private=allow_private), timeout)
    late = threading.Event()

    def cut() -> None:
        late.set()
        # Sealed, the connection lives in another socket, and is cut below the seal.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    # A socket's own timeout starts anew with every byte, and a byte now and then lasts for ever.
    left = max(deadline - time.monotonic(), 0.01)
    connection = http.client.HTTPConnection(host, port, timeout=left)
    connection.sock = raw
    raw.settimeout(left)
    watch = threading.Timer(left, cut)
    watch.daemon = True
    watch.start()
    try:
        if parts.scheme == "https":
            connection.sock = sealed = _sealed(raw, host)
            sealed.do_handshake()
        yield connection
        # Hung up in the middle of the headers, an answer looks whole.
        if late.is_set():
            raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise TimeoutError from error
        raise
    finally:
        watch.cancel()
        connection.close()
        raw.close()


def _sealed(raw: socket.socket, host: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    return context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)


def _addresses(host: str, port: int, *, allow_private: bool) -> list[tuple[str, int]]:
    try:
        found = [each[4][0] for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise _RefusedError(f"{host} has no address") from error
    free = allow_private or is_loopback(host)
    good = [(str(each), port) for each in found if free or _is_public(str(each))]
    if not good:
        raise _RefusedError(
            f"{host} lies at {found[0]}, which is not public; allow_private = true permits it"
        )
    return good[:_MOST_ADDRESSES]


def _dialled(places: Sequence[tuple[str, int]], timeout: float) -> socket.socket:
    """The first that answers: a name often has an address that this machine cannot reach."""
    for place in places[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection(place, timeout / len(places))
    return socket.create_connection(places[-1], timeout / len(places))


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(found, "ipv4_mapped", None) or found
    return bool(inner.is_global and not inner.is_multicast)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _outcome(status: int, wish: str | None) -> Outcome:
    if 200 <= status < 300:
        return Outcome(ok=True, told=f"answered {status}")
    told = f"answered {status}"
    if 300 <= status < 400:
        told += ", and redirects are not followed"
    return Outcome(ok=False, told=told, retry_after=_seconds(wish), gone=status == _GONE)


def _seconds(wish: str | None) -> float | None:
    """A Retry-After, in seconds or as a date."""
    if wish is None:
        return None
    if wish.strip().isascii() and wish.strip().isdigit():
        return float(wish)
    try:
        until = email.utils.parsedate_to_datetime(wish)
        return max((until - SystemClock().now()).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
