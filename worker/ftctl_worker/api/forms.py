"""Multipart forms read as a stream: the file goes straight to disk, fields stay small."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ftctl_worker.errors import BadRequestError

if TYPE_CHECKING:
    from pathlib import Path

    from python_multipart.multipart import MultipartCallbacks
    from starlette.requests import Request

__all__ = ["UploadForm", "read_upload"]

_MOST_FIELDS = 20
_MOST_FIELD_BYTES = 16 * 1024


@dataclass
class UploadForm:
    """The fields of a form, and the label of its file, None where it held no file."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None


async def read_upload(request: Request, target: Path, field: str = "file") -> UploadForm:
    """Read a multipart form, and write its part ``field`` into the new file ``target``.

    Raises:
        BadRequestError: the body is no complete multipart form, or its fields are too large.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequestError("Send the file as multipart/form-data with a boundary.", param=field)
    with target.open("xb") as stream:
        reader = _Reader(stream, field)
        try:
            parser = MultipartParser(boundary, reader.callbacks())
            async for chunk in request.stream():
                parser.write(chunk)
            parser.finalize()
        except FormParserError as error:
            raise BadRequestError(f"The form cannot be read: {error}") from error
        if not reader.ended:
            raise BadRequestError("The form ends too early.")
    return reader.form


class _Reader:
    """Collects what the parser finds."""

    def __init__(self, stream: BinaryIO, field: str) -> None:
        self._field = field
        self.form = UploadForm()
        self.ended = False
        self._stream = stream
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name: str | None = None
        self._value = bytearray()
        self._is_file = False

    def callbacks(self) -> MultipartCallbacks:
        """Return what the parser is to call."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._headers = {}
        self._value = bytearray()

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        label = options.get(b"filename")
        self._is_file = self._name == self._field
        if self._is_file and self.form.filename is not None:
            raise BadRequestError("The form holds more than one file.", param=self._field)
        if self._is_file:
            self.form.filename = (label or b"").decode("utf-8", "replace")
        elif self._name in self.form.fields:
            name = self._name[:100]
            raise BadRequestError(f"The form holds '{name}' more than once.", param=name)
        elif len(self.form.fields) >= _MOST_FIELDS:
            raise BadRequestError(f"The form holds more than {_MOST_FIELDS} fields.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._stream.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _MOST_FIELD_BYTES:
            raise BadRequestError("A field of the form is too large.", param=self._name)

    def _end_part(self) -> None:
        if not self._is_file and self._name is not None:
            self.form.fields[self._name] = bytes(self._value).decode("utf-8", "replace")

    def _end(self) -> None:
        self.ended = True
