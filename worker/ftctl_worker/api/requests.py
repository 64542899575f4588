"""Reading bodies and list parameters out of a request."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ftctl_worker import strictjson
from ftctl_worker.errors import BadRequestError

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = [
    "MetadataFilter",
    "known_page",
    "project_of",
    "read_json",
    "read_limit",
    "read_metadata",
    "read_time",
]

Page = TypeVar("Page")
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)


@dataclass(frozen=True)
class MetadataFilter:
    """Pairs a job's metadata must hold; or none at all where ``absent``."""

    pairs: dict[str, str]
    absent: bool


def project_of(request: Request) -> str:
    """Return the project that the request's token belongs to."""
    project: str = request.scope["project"]
    return project


async def read_json(request: Request) -> object:
    """Return the JSON body.

    Raises:
        BadRequestError: the body is not acceptable JSON.
    """
    body = await request.body()
    try:
        return strictjson.loads(body)
    except strictjson.JsonRefusedError as error:
        raise BadRequestError(
            f"We could not parse the JSON body of your request: {error}", code="invalid_json"
        ) from error


def read_limit(request: Request, *, default: int, highest: int) -> int:
    """Return the query parameter ``limit``.

    Raises:
        BadRequestError: it is no integer from 1 to ``highest``.
    """
    text = request.query_params.get("limit")
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= highest:
        raise BadRequestError(f"'limit' must be an integer from 1 to {highest}.", param="limit")
    return int(text)


def read_metadata(request: Request) -> MetadataFilter:
    """Return the filter ``metadata[k]=v``, or ``metadata=null``.

    Raises:
        BadRequestError: it has another form, and would be no filter at all.
    """
    pairs = {}
    for name, value in request.query_params.multi_items():
        match = _METADATA.fullmatch(name)
        nested = match is not None and "][" in match[1]
        if match and not nested:
            pairs[match[1]] = value
        elif nested or (name == "metadata" and value != "null"):
            raise BadRequestError(
                "'metadata' filters as metadata[key]=value, or as metadata=null.", param="metadata"
            )
    return MetadataFilter(pairs, absent="metadata" in request.query_params)


def read_time(request: Request, name: str) -> float | None:
    """Return a query parameter in Unix seconds.

    Raises:
        BadRequestError: it is no finite number.
    """
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadRequestError(f"'{name}' must be a time in Unix seconds.", param=name)
    return value


def known_page(page: Page | None) -> Page:
    """Return a page of a list.

    Raises:
        BadRequestError: there is none, because the cursor names nothing in the list.
    """
    if page is None:
        raise BadRequestError("Given after argument was not found in items.", param="after")
    return page
