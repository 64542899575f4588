"""One request and its answer, free of any server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request. Header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is not.
        """
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer.

    Attributes:
        wait: seconds before it is sent.
        cut: send only so many bytes, headers included, then close; a negative
            number counts from the end, None sends all.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    cut: int | None = None

    @property
    def is_whole(self) -> bool:
        """Nothing is to be left out."""
        return self.cut is None


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What was asked on which route, and what was answered; None when the line was cut."""

    route: str
    call: Call
    reply: Reply | None


class RefusedError(Exception):
    """The simulated host says no."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        """Keep what the envelope shows."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


def call(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    """A call out of a request line's target."""
    parts = urlsplit(target)
    return Call(
        method=method,
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
    )


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer in JSON."""
    return Reply(
        status=status,
        body=json.dumps(value).encode(),
        headers={"content-type": "application/json", **(headers or {})},
    )


def page(items: list[dict[str, Any]], query: Mapping[str, str], default: int) -> dict[str, Any]:
    """One page of a list.

    Raises:
        RefusedError: `limit` or `after` makes no sense.
    """
    limit = query.get("limit", str(default))
    if not limit.isdigit() or int(limit) < 1:
        raise RefusedError(400, "'limit' must be a positive integer.", param="limit")
    start = 0
    if after := query.get("after"):
        ids = [item["id"] for item in items]
        if after not in ids:
            raise RefusedError(400, "Given after argument was not found in items.", param="after")
        start = ids.index(after) + 1
    data = items[start : start + int(limit)]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": start + len(data) < len(items),
    }
