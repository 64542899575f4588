"""Bytes to physical lines: flat memory, whatever the source is."""

from __future__ import annotations

import functools
import gzip
import importlib
import io
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from orchestrator.datasets.files.sniffing import HEAD, container_finding, packing_of, text_finding
from orchestrator.datasets.findings.codes import found
from orchestrator.domain.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orchestrator.datasets.findings.finding import Finding

#: The longest line that is read, in bytes. No target trains on a fraction of it.
LONGEST_LINE = 32 << 20
# Small enough that what is made of a block stays in the cache of a core.
_BUFFER, _BLOCK = 1 << 20, 1 << 17


class BrokenZstd(Exception):
    """A Zstandard stream that ends early or is damaged."""


DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, BrokenZstd)


@dataclass(frozen=True, kw_only=True)
class Source:
    """An opened dataset.

    Attributes:
        name: the path as given, or "-".
        stream: the unpacked bytes, from the start.
        bytes: size on the disk; None for a stream.
        packed: the source is gzip or Zstandard.
        refusal: why no line of it is worth reading; None when the lines can be read.
    """

    name: str
    stream: io.BufferedReader[Any]
    bytes: int | None = None
    packed: bool = False
    refusal: Finding | None = None


@contextmanager
def opened(
    source: Path | BinaryIO, on_bytes: Callable[[int], None] | None = None
) -> Iterator[Source]:
    """Open a path or a binary stream, unpack gzip and Zstandard, and look at the first bytes.

    Args:
        source: a path, or a stream that is read to its end and left open.
        on_bytes: told how many bytes were read from the disk, about every megabyte.

    Raises:
        DatasetInvalid: what is packed turns out to be damaged while it is read.
        OSError: the path cannot be read.
    """
    try:
        if isinstance(source, Path):
            with io.FileIO(source) as raw:
                size = source.stat().st_size if source.is_file() else None
                counted = Counted(raw, on_bytes) if on_bytes else raw
                yield _looked_at(str(source), io.BufferedReader(counted, _BUFFER), size)
        else:
            yield _looked_at("-", io.BufferedReader(Counted(source, on_bytes), _BUFFER), None)
    except DAMAGED as error:
        said = found("broken-gzip", reason=str(error))
        raise DatasetInvalid(f"{source}: {said.message}", hint=said.fix) from error


def physical_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Every line with its LF; a line over LONGEST_LINE comes in pieces of that size."""
    return iter(functools.partial(stream.readline, LONGEST_LINE), b"")


def cut_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Every line with its LF, so that they can be counted; a line over LONGEST_LINE is cut there."""
    for line in physical_lines(stream):
        yield line
        if is_cut(line):
            skip_rest_of_line(stream)


def is_cut(line: bytes) -> bool:
    """Whether a line goes on beyond what was read of it."""
    return len(line) >= LONGEST_LINE and not line.endswith(b"\n")


def blocks(stream: io.BufferedReader[Any]) -> Iterator[bytes]:
    """Many lines at once, each with its LF; of a line over LONGEST_LINE comes the start alone."""
    begun: list[bytes] = []
    held = 0
    while piece := stream.read1(_BLOCK):
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join((*begun, memoryview(piece)[:end]))
            begun, held, piece = [], 0, piece[end:]
        begun.append(piece)
        held += len(piece)
        if held >= LONGEST_LINE:
            yield b"".join(begun)
            begun, held = [], 0
    if held:
        yield b"".join(begun)


def skip_rest_of_line(stream: BinaryIO) -> None:
    """Read on to the end of a line that is too long to be held."""
    for _ in rest_of_line(stream):
        pass


def rest_of_line(stream: BinaryIO) -> Iterator[bytes]:
    """What is left of a line that is too long to be held, in pieces."""
    while piece := stream.readline(_BUFFER):
        yield piece
        if piece.endswith(b"\n"):
            return


class Counted(io.RawIOBase):
    """Any binary stream as a raw one, so that it can be buffered, peeked into and watched."""

    def __init__(self, stream: BinaryIO | io.RawIOBase, on_bytes: Callable[[int], None] | None):
        """Take the stream; it is not closed."""
        self._stream = stream
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as the stream gives."""
        piece = self._stream.read(len(buffer)) or b""
        buffer[: len(piece)] = piece
        if self._on_bytes is not None:
            self._on_bytes(len(piece))
        return len(piece)


def _looked_at(name: str, stream: io.BufferedReader[Any], size: int | None) -> Source:
    head = stream.peek(HEAD)[:HEAD]
    refusal, packing = container_finding(head, name), packing_of(head)
    if packing and refusal is None:
        try:
            stream = io.BufferedReader(_unpacked(stream, packing), _BUFFER)
            head = stream.peek(HEAD)[:HEAD]
            refusal = container_finding(head, "")  # An archive inside, or packed twice.
        except ImportError:
            extra = "pip install 'ftctl[zstd]', or unpack it"
            refusal = found("compressed", format="Zstandard", mend=extra)
        except (*DAMAGED, OSError) as error:
            refusal = found("broken-gzip", reason=str(error))
    packed = packing is not None
    refusal = refusal or text_finding(head, whole=_is_whole(head, size, packed))
    return Source(name=name, stream=stream, bytes=size, packed=packed, refusal=refusal)


def _unpacked(stream: io.BufferedReader[Any], packing: str) -> io.RawIOBase:
    if packing == "gzip":
        return cast("io.RawIOBase", gzip.GzipFile(fileobj=stream, mode="rb"))  # It has readinto.
    return _Zstd(stream)


class _Zstd(io.RawIOBase):
    """A Zstandard stream of any number of frames, unpacked."""

    def __init__(self, stream: io.BufferedReader[Any]) -> None:
        self._stream = stream
        self._zstd = importlib.import_module("zstandard")
        self._frame: Any = None
        self._packed = self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._plain and self._unpack():
            pass
        piece, self._plain = self._plain[: len(buffer)], self._plain[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def _unpack(self) -> bool:
        """Unpack some more; False at the end."""
        packed = self._packed or self._stream.read(_PIECE)
        self._packed = b""
        if not packed:
            if self._frame is not None:
                raise BrokenZstd("the stream ends early")
            return False
        if self._frame is None:
            self._frame = self._zstd.ZstdDecompressor().decompressobj()
        try:
            self._plain = self._frame.decompress(packed)
        except self._zstd.ZstdError as error:
            raise BrokenZstd(str(error)) from error
        if self._frame.eof:
            self._packed, self._frame = self._frame.unused_data, None
        return True


# Zstandard may make a thousand bytes of one: small pieces keep memory flat.
_PIECE = 1 << 14


def _is_whole(head: bytes, size: int | None, packed: bool) -> bool:
    if size is not None and not packed:
        return len(head) >= size
    return len(head) < HEAD
