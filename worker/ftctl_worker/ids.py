"""Names the server makes: unguessable, and free of anything a client sent."""

from __future__ import annotations

import re
import secrets
import string

__all__ = ["new_id", "tuned_model_name"]

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """Return an id such as ``file-`` or ``ftjob-`` followed by ``length`` random characters."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def tuned_model_name(base: str, suffix: str | None, job_id: str) -> str:
    """Return ``ft:<base>:ftctl:<suffix>:<last 8 characters of the job's id>``.

    A folder stands with its last part only; characters that do not belong into a model's name
    become hyphens.
    """
    if base.startswith(("/", ".")):
        base = base.rstrip("/").rsplit("/", 1)[-1]
    base = base.partition("@")[0]
    return f"ft:{_plain(base, '/')}:ftctl:{_plain(suffix or '')}:{job_id[-8:]}"


def _plain(text: str, also: str = "") -> str:
    return re.sub(rf"[^A-Za-z0-9._{also}-]+", "-", text)
