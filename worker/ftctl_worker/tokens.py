"""Bearer tokens: those of the command line, and named ones in a file that can be revoked.

The file (0600) keeps SHA-256 digests, never a token. A server reads it again when it changes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ftctl_worker.errors import ConfigurationError
from ftctl_worker.project import DEFAULT_PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["NamedToken", "TokenFile", "Tokens"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class NamedToken:
    """A token that somebody holds; ``sha256`` in hexadecimal, ``created_at`` in Unix seconds."""

    name: str
    sha256: str
    created_at: int
    project: str = DEFAULT_PROJECT


class TokenFile:
    """The named tokens of a home."""

    def __init__(self, path: Path) -> None:
        """Keep them in ``path``, which need not exist."""
        self._path = path

    def all(self) -> list[NamedToken]:
        """Return the tokens in order of their making.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            return [NamedToken(**one) for one in stored["tokens"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{self._path} cannot be read: {error}") from error

    def add(self, name: str, project: str = DEFAULT_PROJECT) -> str:
        """Make a token of a project, and return it: this is the only time it can be seen.

        Raises:
            ConfigurationError: the name is taken, or is none.
        """
        for what, given in (("token", name), ("project", project)):
            if not _NAME.fullmatch(given):
                raise ConfigurationError(
                    f"A {what}'s name takes up to 64 letters, digits and any of . _ @ -"
                )
        tokens = self.all()
        if any(token.name == name for token in tokens):
            raise ConfigurationError(f"There is a token {name!r} already; revoke it first.")
        token = f"ftw-{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        made = NamedToken(name=name, sha256=digest, created_at=int(time.time()), project=project)
        self._write([*tokens, made])
        return token

    def revoke(self, name: str) -> None:
        """Make a token worthless.

        Raises:
            ConfigurationError: there is none of that name.
        """
        tokens = self.all()
        kept = [token for token in tokens if token.name != name]
        if len(kept) == len(tokens):
            raise ConfigurationError(f"There is no token {name!r}.")
        self._write(kept)

    def version(self) -> tuple[int, int]:
        """Return something that changes with the file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_ino)

    def _write(self, tokens: Sequence[NamedToken]) -> None:
        text = json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=2)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
        draft.replace(self._path)


class Tokens:
    """Knows who may ask."""

    def __init__(self, path: Path, fixed: Sequence[bytes]) -> None:
        """Take those with the digests ``fixed``, of the default project, and those of ``path``."""
        self._file = TokenFile(path)
        self._fixed = [(one, DEFAULT_PROJECT) for one in fixed]
        self._version = (-1, -1)
        self._named: list[tuple[bytes, str]] = []

    def project_of(self, token: bytes) -> str | None:
        """Return the project that ``token`` opens now; None where it opens nothing."""
        if (version := self._file.version()) != self._version:
            self._named = [(bytes.fromhex(one.sha256), one.project) for one in self._file.all()]
            self._version = version
        digest = hashlib.sha256(token).digest()
        # All are compared, whichever fits: how long it takes tells nothing.
        fitting = [
            project
            for one, project in (*self._fixed, *self._named)
            if hmac.compare_digest(digest, one)
        ]
        return fitting[0] if fitting else None
