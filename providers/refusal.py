"""An HTTP answer that says no, taken apart, and what some of them really mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import FtctlError, ProviderRejected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import httpx2

    Explain = Callable[["Refusal"], FtctlError | None]

LONGEST_MESSAGE = 600


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An HTTP answer of 300 or more, taken apart.

    Attributes:
        is_envelope: the body is the API's own error, so the API itself said this.
        is_html: the body is a page, so something in between said it.
        retry_after: seconds, from the headers.
    """

    status: int
    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None
    is_envelope: bool = False
    is_html: bool = False
    retry_after: float | None = None


def explain_nothing(_: Refusal) -> FtctlError | None:
    """No special words."""
    return None


def read(response: httpx2.Response, text: str, now: datetime) -> Refusal:
    """Take a refusal apart.

    Args:
        response: for status and headers.
        text: its body, free of the key.
        now: for a `Retry-After` that names a date.
    """
    envelope = _envelope(text, response.status_code)
    return Refusal(
        status=response.status_code,
        message=one_line(_string(envelope.get("message")) or ""),
        code=_string(envelope.get("code")),
        type=_string(envelope.get("type")),
        # Azure's older surface calls it target.
        param=_string(envelope.get("param")) or _string(envelope.get("target")),
        is_envelope=bool(envelope),
        is_html=is_html(response, text),
        retry_after=_retry_after(response.headers, now),
    )


def winding_down(refusal: Refusal, name: str) -> FtctlError | None:
    """The plain words for an account that may not train any more."""
    if refusal.code != "training_not_available":
        return None
    return ProviderRejected(
        f"{name} no longer lets this organisation start fine-tuning jobs: the platform is being"
        " wound down. Tuned models go on answering until their base model is retired.",
        hint="train on Azure (--provider azure) or on this machine (--provider local)",
        status=refusal.status,
        code=refusal.code,
    )


def is_html(response: httpx2.Response, text: str) -> bool:
    """Whether a page came instead of an answer."""
    return "html" in response.headers.get("content-type", "") or text.lstrip().startswith("<")


def one_line(text: str) -> str:
    """The text on one line, and not too long."""
    short = " ".join(text.split())
    return short if len(short) <= LONGEST_MESSAGE else f"{short[:LONGEST_MESSAGE]}..."


def _envelope(text: str, status: int) -> Mapping[str, Any]:
    """What lies under "error"; Azure's gateway writes statusCode and message without it."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, str) and error:
        return {"message": error}
    if isinstance(error, dict):
        return error
    if body.get("statusCode") == status and isinstance(body.get("message"), str):
        return body
    return {}


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    value = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(headers.get("retry-after-ms", "").strip()) / 1000)
    except ValueError:
        pass
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
