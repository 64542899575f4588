"""Fetching a provider's files: each once, whole or not at all, known by its id and size.

A file that is gone or may not be read is a fact to be noted. A training file is validated so that
its findings are counted; it is kept whatever they are, for a model was made from it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.datasets.checking.limits import targets
from orchestrator.datasets.checking.validation import validate
from orchestrator.domain import failpoints
from orchestrator.domain.archive import ArchivedFile, FileState, Purpose
from orchestrator.domain.errors import AnswerIsNo, Forbidden, RemoteNotFound
from orchestrator.domain.jobs.dataset import Dataset, Upload
from orchestrator.domain.jobs.job import Method

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.domain.archive import Archive
    from orchestrator.domain.provider import Provider, RemoteFile
    from orchestrator.usecases.jobs.ledger import Ledger

MEGABYTE = 1 << 20
#: No target takes a training file half as large.
LARGEST = 1024 * MEGABYTE


class TooLarge(AnswerIsNo):
    """The file is larger than what may be fetched."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A file that a job names; `method` is how its rows are read."""

    remote_id: str
    purpose: Purpose
    method: Method = Method.SUPERVISED


class Fetcher:
    """Brings the files of one account here. Its methods may be called from several threads.

    Attributes:
        fetched: files that were downloaded in this run; `bytes` their size together.
    """

    def __init__(
        self,
        provider: Provider,
        ledger: Ledger,
        archive: Archive,
        *,
        largest: int = LARGEST,
        retry: bool = False,
    ) -> None:
        """Take the parts.

        Args:
            provider: who has the files.
            ledger: whose dataset store keeps training files.
            archive: where files are remembered.
            largest: most bytes of one file.
            retry: ask again for files that were gone, forbidden or too large.
        """
        self._provider = provider
        self._ledger = ledger
        self._archive = archive
        self._largest = largest
        self._known = {
            name: file
            for name, file in archive.files(provider.account).items()
            if not retry or file.state is FileState.KEPT
        }
        self._lock = threading.Lock()
        self._at_work: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self.fetched = 0
        self.bytes = 0

    def known(self, remote_id: str | None) -> ArchivedFile | None:
        """What is known of a file without asking."""
        return self._known.get(remote_id) if remote_id else None

    def fetch(self, wanted: Wanted) -> ArchivedFile:
        """The file, downloaded unless it was before.

        Raises:
            TryLater: it did not come whole. OSError: the disk is in the way.
        """
        with self._lock:
            own = self._at_work[wanted.remote_id]
        with own:
            found = self._known.get(wanted.remote_id) or self._asked(wanted)
            self._known[wanted.remote_id] = found
        return found

    def _asked(self, wanted: Wanted) -> ArchivedFile:
        file = ArchivedFile(
            account=self._provider.account,
            remote_id=wanted.remote_id,
            purpose=wanted.purpose,
            name="",
            state=FileState.GONE,
            at=self._ledger.clock.now(),
        )
        try:
            remote = self._provider.retrieve_file(wanted.remote_id)
            file = replace(file, name=remote.name, bytes=remote.bytes)
            file = self._downloaded(file, remote, wanted.method)
        except RemoteNotFound:
            file = replace(file, note="the provider has no such file any more")
        except Forbidden as error:
            file = replace(file, state=FileState.FORBIDDEN, note=error.message)
        except TooLarge as error:
            file = replace(file, state=FileState.TOO_LARGE, note=error.message)
        self._archive.put(file)
        failpoints.reach("adopt.file_kept")
        return file

    def _downloaded(self, file: ArchivedFile, remote: RemoteFile, method: Method) -> ArchivedFile:
        if remote.bytes is not None and remote.bytes > self._largest:
            raise self._too_large(remote.bytes)
        with self._archive.drafts() as folder:
            draft = folder / "content.jsonl"
            with draft.open("wb") as stream:
                sink = _Bounded(stream, self._largest, self._too_large)
                size = self._provider.file_content(remote.id, sink)
            file = replace(file, bytes=size, digest=_digest(draft), state=FileState.KEPT)
            if remote.bytes not in {None, size}:
                file = replace(
                    file, note=f"the provider says {remote.bytes:,} bytes, and {size:,} came"
                )
            with self._lock:
                self.fetched += 1
                self.bytes += size
            return self._stored(file, draft, method)

    def _stored(self, file: ArchivedFile, draft: Path, method: Method) -> ArchivedFile:
        assert file.digest is not None
        if file.purpose is Purpose.RESULT:
            self._archive.keep(file.digest, draft)
            return file
        kind = self._provider.kind
        verdict = validate(
            draft, target=kind if kind in targets() else "openai", method=method, keep=0
        )
        store, now = self._ledger.datasets, self._ledger.clock.now()
        dataset = Dataset(
            digest=file.digest,
            bytes=file.bytes or 0,
            rows=verdict.rows,
            tokens=verdict.tokens,
            source=f"{self._provider.name}: {file.name or 'a file'} ({file.remote_id})",
            created_at=now,
        )
        store.keep(dataset, draft)
        store.add_upload(
            Upload(
                account=file.account,
                digest=file.digest,
                remote_id=file.remote_id,
                status="processed",
                created_at=now,
            )
        )
        return replace(file, errors=verdict.errors, warnings=verdict.warnings)

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"it has {size / MEGABYTE:,.0f} MB or more, and {self._largest / MEGABYTE:,.0f} MB may"
            " be fetched (--max-file-mb)"
        )


@dataclass
class _Bounded:
    """A sink that takes so many bytes and no more."""

    stream: BinaryIO
    largest: int
    refuse: Callable[[int], TooLarge]
    written: int = 0

    def write(self, data: bytes, /) -> int:
        """Take the next bytes.

        Raises:
            TooLarge: they are too many.
        """
        self.written += len(data)
        if self.written > self.largest:
            raise self.refuse(self.written)
        return self.stream.write(data)

    def seek(self, offset: int, /) -> int:
        """Go back."""
        self.written = offset
        return self.stream.seek(offset)

    def truncate(self, size: int, /) -> int:
        """Forget what follows."""
        return self.stream.truncate(size)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
