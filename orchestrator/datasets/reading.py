"""Bytes to physical lines: flat memory, whatever the source is."""

from __future__ import annotations

import functools
import gzip
import io
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from orchestrator.datasets.codes import found
from orchestrator.datasets.sniffing import HEAD, container_finding, is_gzip, text_finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.datasets.finding import Finding

#: The longest line that is read, in bytes. No target trains on a fraction of it.
LONGEST_LINE = 64 << 20
_BUFFER = 1 << 20

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, kw_only=True)
class Source:
    """An opened dataset.

    Attributes:
        name: the path as given, or "-".
        stream: the unpacked bytes, from the start.
        bytes: size on the disk; None for a stream.
        packed: the source is gzip.
        refusal: why no line of it is worth reading; None when the lines can be read.
    """

    name: str
    stream: BinaryIO
    bytes: int | None = None
    packed: bool = False
    refusal: Finding | None = None


@contextmanager
def opened(source: Path | BinaryIO) -> Iterator[Source]:
    """Open a path or a binary stream, unpack gzip, and look at the first bytes.

    Args:
        source: a path, or a stream that is read to its end and left open.

    Raises:
        OSError: the path cannot be read.
    """
    if isinstance(source, Path):
        with io.FileIO(source) as raw:
            size = source.stat().st_size if source.is_file() else None
            yield _looked_at(str(source), io.BufferedReader(raw, _BUFFER), size)
    else:
        yield _looked_at("-", io.BufferedReader(_Readable(source), _BUFFER), None)


def physical_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Every line with its LF; a line over LONGEST_LINE comes in pieces of that size."""
    return iter(functools.partial(stream.readline, LONGEST_LINE), b"")


def skip_rest_of_line(stream: BinaryIO) -> None:
    """Read on to the end of a line that is too long to be held."""
    for piece in physical_lines(stream):
        if piece.endswith(b"\n"):
            return


class _Readable(io.RawIOBase):
    """Any binary stream as a raw one, so that it can be buffered and peeked into."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _looked_at(name: str, stream: io.BufferedReader[Any], size: int | None) -> Source:
    head = stream.peek(HEAD)[:HEAD]
    refusal = container_finding(head, name)
    packed = is_gzip(head)
    if packed and refusal is None:
        unpacked = gzip.GzipFile(fileobj=stream, mode="rb")
        stream = io.BufferedReader(cast("io.RawIOBase", unpacked), _BUFFER)  # It has readinto.
        try:
            head = stream.peek(HEAD)[:HEAD]
        except (*DAMAGED, OSError) as error:
            refusal = found("broken-gzip", reason=str(error))
    refusal = refusal or text_finding(head, whole=_is_whole(head, size, packed))
    return Source(name=name, stream=stream, bytes=size, packed=packed, refusal=refusal)


def _is_whole(head: bytes, size: int | None, packed: bool) -> bool:
    if size is not None and not packed:
        return len(head) >= size
    return len(head) < HEAD
