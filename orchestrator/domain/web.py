"""One question of a browser and its answer, whatever server carries them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_FIELDS = 64


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """What was asked.

    Attributes:
        method: GET, HEAD, POST, ...
        target: path and query as they came.
        headers: by name, in lower case.
        body: as it came.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    @cached_property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(urlsplit(self.target).path, errors="replace")

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The fields of the address, the first of each name; none when they cannot be read."""
        return _fields(urlsplit(self.target).query)

    @cached_property
    def form(self) -> Mapping[str, str]:
        """The fields of a form that was sent, the first of each name."""
        return _fields(self.body.decode("utf-8", "replace"))

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """By name; values as they came."""
        pairs = (each.strip().partition("=") for each in self.headers.get("cookie", "").split(";"))
        return {name: value for name, _, value in pairs if name}


@dataclass(frozen=True, kw_only=True)
class WebResponse:
    """What is answered.

    Attributes:
        kind: the media type.
        headers: more of them, in order.
    """

    status: int = 200
    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    headers: Sequence[tuple[str, str]] = ()


def _fields(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return dict(reversed(pairs))
