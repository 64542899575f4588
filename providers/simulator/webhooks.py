"""Webhooks of a simulated host, on order: signed as OpenAI signs them."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime

from orchestrator.domain.adapters.signature import secrets_of, signed
from orchestrator.domain.errors import ProviderUnreachable

_SECONDS = 10.0


def send(
    url: str,
    secret: str,
    job: str,
    status: str,
    now: int,
    *,
    type: str | None = None,
    id: str | None = None,
    at: int | None = None,
) -> int:
    """Post one event about a job; returns the receiver's HTTP status.

    Raises:
        ConfigurationError: the secret is none.
        ProviderUnreachable: nobody answers there.
    """
    import httpx2

    said = {
        "object": "event",
        "id": f"evt_{secrets.token_hex(16)}",
        "type": type or f"fine_tuning.job.{status}",
        "created_at": now,
        "data": {"id": job},
    }
    body = json.dumps(said).encode()
    sent_at = datetime.fromtimestamp(now if at is None else at, UTC)
    (key,) = secrets_of(secret, "secret")
    headers = signed(key, id or f"wh_{secrets.token_hex(16)}", sent_at, body)
    headers["content-type"] = "application/json"
    try:
        with httpx2.Client(trust_env=False, follow_redirects=False, timeout=_SECONDS) as client:
            return client.post(url, content=body, headers=headers).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ProviderUnreachable(f"Nobody takes webhooks at {url}: {error}.") from error
