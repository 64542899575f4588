"""What is said about a URL that this server does not have: where to go instead."""

from __future__ import annotations

from ftctl_worker.errors import NotFoundError

__all__ = ["unknown_url"]

_HERE = frozenset({"chat", "files", "fine_tuning", "models", "responses", "uploads"})
_CHATS = frozenset({"assistants", "completions", "conversations", "realtime", "threads"})
_NOT_HERE = frozenset(
    {
        *("audio", "batches", "containers", "embeddings", "evals", "images", "moderations"),
        *("organization", "vector_stores", "videos"),
    }
)


def unknown_url(method: str, path: str) -> NotFoundError:
    """Return the answer to a request for ``path``, which no route takes."""
    said = f"Unknown request URL: {method} {path[:200]}"
    return NotFoundError(f"{said}{_instead(path)}", code="unknown_url")


def _instead(path: str) -> str:
    first, *rest = path.strip("/").split("/")
    if first in _HERE:
        return ". The base URL of this server ends with /v1."
    name = rest[0] if first == "v1" and rest else first
    if name == "responses":
        return (
            ". This server stores no responses: POST /v1/responses with the whole conversation as "
            "'input'."
        )
    if name in _CHATS:
        return (
            ". This server's models answer at POST /v1/chat/completions; tell the client to use chat "
            "completions."
        )
    if name in _NOT_HERE:
        return f". This server has no {name}: it trains models, and chats with them."
    return ""
