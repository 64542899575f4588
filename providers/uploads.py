"""Files too large for one request: they travel in parts, and go on where a dead process stopped.

What has arrived stands in a small file under ftctl's home, written after each part. A part whose
answer was lost is sent again; only the parts that are named at the end become the file, so that a
part too many does no harm. The end itself is said once: if its answer is lost, the file is looked
for by name and size before it is said again.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.clock import SystemClock
from orchestrator.domain.errors import ProviderRejected, ProviderUnreachable, TryLater
from providers.answers import is_id, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from orchestrator.domain.provider import RemoteFile

    Raw = Mapping[str, Any]
    Told = Callable[[int, int], None]

# An upload that ends within this many seconds is not gone on with.
MARGIN = 60.0
ENDINGS = 3


class UploadHost(Protocol):
    """What is asked of a host; every answer as it came."""

    def begin_upload(self, name: str, size: int) -> Raw:
        """Make an upload."""
        ...

    def add_part(self, upload_id: str, data: bytes) -> Raw:
        """Send a part."""
        ...

    def end_upload(self, upload_id: str, parts: list[str], md5: str) -> Raw:
        """Make the file of the parts; not repeated."""
        ...

    def cancel_upload(self, upload_id: str) -> None:
        """Let the parts go."""
        ...

    def as_file(self, raw: Raw) -> RemoteFile:
        """A file in an answer."""
        ...

    def find_file(self, name: str, size: int) -> RemoteFile | None:
        """The newest file of that name and size."""
        ...


@dataclass(frozen=True, kw_only=True)
class _State:
    """How far an upload has come."""

    upload_id: str
    md5: str
    size: int
    part_bytes: int
    created_at: float
    expires_at: float
    parts: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class PartedUpload:
    """Sends files in parts.

    Attributes:
        host: who takes them.
        folder: where it is remembered how far an upload has come.
        account: fingerprint; uploads of two accounts are not mixed up.
        part_bytes: size of a part.
        now: what tells the time.
    """

    host: UploadHost
    folder: Path
    account: str
    part_bytes: int
    now: Callable[[], datetime] = field(default_factory=lambda: SystemClock().now)

    def send(self, path: Path, name: str, told: Told) -> RemoteFile:
        """Send a file, or the rest of one.

        Raises:
            ProviderRejected: a clear no. TryLater: no clear answer; what arrived is remembered.
        """
        size, md5 = path.stat().st_size, _md5(path)
        memory = self._memory(name, size)
        state = self._remembered(memory, size, md5)
        if state is not None:
            try:
                return self._go_on(state, memory, path, name, told)
            except ProviderRejected:
                # Another process made the file of it, or it ended: then from the start, once.
                memory.unlink(missing_ok=True)
                found = self._found(state, name)
                if found is not None:
                    return found
        state = self._begun(name, size, md5)
        self._remember(memory, state)
        return self._go_on(state, memory, path, name, told)

    def _begun(self, name: str, size: int, md5: str) -> _State:
        raw = self.host.begin_upload(name, size)
        upload_id, now = raw.get("id"), self.now().timestamp()
        if not isinstance(upload_id, str) or not is_id(upload_id):
            raise ProviderUnreachable("The answer carries no id, so it is not an upload.")
        expires, created = moment(raw.get("expires_at")), moment(raw.get("created_at"))
        return _State(
            upload_id=upload_id,
            md5=md5,
            size=size,
            part_bytes=self.part_bytes,
            created_at=created.timestamp() if created else now,
            expires_at=expires.timestamp() if expires else now + 3600,
        )

    def _go_on(self, state: _State, memory: Path, path: Path, name: str, told: Told) -> RemoteFile:
        try:
            state = self._all_parts(state, memory, path, told)
            file = self._ended(state, name)
        except ProviderRejected:
            self._let_go(state)
            memory.unlink(missing_ok=True)
            raise
        memory.unlink(missing_ok=True)
        return file

    def _all_parts(self, state: _State, memory: Path, path: Path, told: Told) -> _State:
        with path.open("rb") as content:
            content.seek(len(state.parts) * state.part_bytes)
            while data := content.read(state.part_bytes):
                part = self.host.add_part(state.upload_id, data).get("id")
                if not isinstance(part, str) or not part:
                    raise ProviderUnreachable("The answer carries no id, so it is not a part.")
                state = replace(state, parts=[*state.parts, part])
                self._remember(memory, state)
                told(content.tell(), state.size)
        return state

    def _ended(self, state: _State, name: str) -> RemoteFile:
        failure: TryLater | ProviderRejected | None = None
        for _ in range(ENDINGS):
            try:
                raw = self.host.end_upload(state.upload_id, state.parts, state.md5)
            except (TryLater, ProviderRejected) as error:
                failure, raw = error, {}
            file = raw.get("file")
            if isinstance(file, dict) and file.get("id"):
                return self.host.as_file(file)
            # Lost, told before, or without the file in it: either way it may be there.
            found = self._found(state, name)
            if found is not None:
                return found
            if isinstance(failure, ProviderRejected):
                break
        raise failure or ProviderUnreachable("The upload ended, and no file of it can be found.")

    def _found(self, state: _State, name: str) -> RemoteFile | None:
        """The file of this upload, and not an older one of the same name."""
        found = self.host.find_file(name, state.size)
        if found is None or found.created_at is None:
            return found
        return found if found.created_at.timestamp() >= int(state.created_at) else None

    def _let_go(self, state: _State) -> None:
        try:
            self.host.cancel_upload(state.upload_id)
        except (TryLater, ProviderRejected):
            # It ends by itself within the hour.
            pass

    def _memory(self, name: str, size: int) -> Path:
        key = hashlib.sha256(f"{self.account}|{name}|{size}".encode()).hexdigest()[:32]
        return self.folder / f"{key}.json"

    def _remembered(self, memory: Path, size: int, md5: str) -> _State | None:
        try:
            state = _State(**json.loads(memory.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        same = (state.size, state.md5, state.part_bytes) == (size, md5, self.part_bytes)
        return state if same and state.expires_at > self.now().timestamp() + MARGIN else None

    def _remember(self, memory: Path, state: _State) -> None:
        """Whole or not at all, for nobody else to read."""
        memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = memory.with_suffix(f".{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(vars(state), stream)
        draft.replace(memory)


def _md5(path: Path) -> str:
    """What the host compares the whole file with; no protection, and none is asked of it."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
