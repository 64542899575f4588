"""Files of a simulated host: what was uploaded, and what jobs leave behind."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from providers.simulator.exchange import RefusedError

if TYPE_CHECKING:
    from providers.simulator.dialects import SimulatedDialect
    from providers.simulator.exchange import Call
    from providers.simulator.state import State

# Of a larger file only its rows are counted: a rehearsal's memory is one JSON document.
KEPT_BYTES = 16 << 20

_NAME = re.compile(rb'[; ]name="([^"]*)"')
_FILENAME = re.compile(rb'filename="([^"]*)"')


def upload(state: State, call: Call, dialect: SimulatedDialect, serial: str, now: int) -> Any:
    """Take a file in.

    Raises:
        RefusedError: the form lacks a file or the right purpose.
    """
    fields = form(call)
    name, content = fields.get("file", ("", b""))
    purpose = fields.get("purpose", ("", b""))[1].decode()
    if "file" not in fields:
        raise RefusedError(400, "'file' is a required property", param="file")
    if purpose != "fine-tune":
        raise RefusedError(400, f"'{purpose}' is not a purpose this host knows.", param="purpose")
    if len(content) > dialect.largest_request:
        raise RefusedError(413, "The file is too large for one request.", param="file")
    return shown(take_in(state, name, content, purpose=purpose, serial=serial, now=now), dialect)


def take_in(
    state: State, name: str, content: bytes, *, purpose: str, serial: str, now: int
) -> dict[str, Any]:
    """Store a file; returns its record."""
    rows, fault = _rows(content)
    record = {
        "id": f"file-{serial}",
        "filename": name,
        "bytes": len(content),
        "created_at": now,
        "purpose": purpose,
        "rows": rows,
        "fault": fault,
        "step": 0,
        "content": content.decode("utf-8", "surrogateescape")
        if len(content) <= KEPT_BYTES
        else None,
    }
    state["files"][record["id"]] = record
    return record


def delete(state: State, file_id: str) -> dict[str, Any]:
    """Take a file away.

    Raises:
        RefusedError: there is no such file.
    """
    del state["files"][find(state, file_id)["id"]]
    return {"id": file_id, "object": "file", "deleted": True}


def look(record: dict[str, Any], dialect: SimulatedDialect) -> Any:
    """A file as it stands after one more look."""
    record["step"] = min(record["step"] + 1, len(dialect.file_script) - 1)
    return shown(record, dialect)


def shown(record: dict[str, Any], dialect: SimulatedDialect) -> dict[str, Any]:
    """A file as the host tells it."""
    told = {key: record[key] for key in ("id", "filename", "bytes", "created_at", "purpose")}
    if record.get("expires_at"):
        told["expires_at"] = record["expires_at"]
    status = dialect.file_script[record["step"]]
    if dialect.nulls and status == "pending":
        told["bytes"] = None
    return {"object": "file", **told, "status": status}


def find(state: State, file_id: str) -> dict[str, Any]:
    """A file's record.

    Raises:
        RefusedError: there is no such file.
    """
    record: dict[str, Any] | None = state["files"].get(file_id)
    if record is None:
        raise RefusedError(404, f"No such File object: {file_id}", param="id")
    return record


def content(record: dict[str, Any]) -> str:
    """The bytes of a file, undecodable ones as surrogates.

    Raises:
        RefusedError: it was too large to be kept.
    """
    kept: str | None = record.get("content")
    if kept is None:
        raise RefusedError(404, "The simulator did not keep this file: it was too large.")
    return kept


def leave(state: State, name: str, content: str, serial: str, now: int) -> str:
    """Store a result; returns its id."""
    file_id = f"file-{serial}"
    state["files"][file_id] = {
        "id": file_id,
        "filename": name,
        "bytes": len(content.encode()),
        "created_at": now,
        "purpose": "fine-tune-results",
        "content": content,
        "step": -1,
    }
    return file_id


def _rows(content: bytes) -> tuple[int, str | None]:
    """How many examples there are, and the first line that is none."""
    rows = 0
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        rows += 1
        try:
            is_table = isinstance(json.loads(line), dict)
        except ValueError:
            is_table = False
        if not is_table:
            return rows, f"Line {number} is not a JSON dictionary."
    return rows, None


def form(call: Call) -> dict[str, tuple[str, bytes]]:
    """The fields of a multipart form: name → (file name, content)."""
    _, _, boundary = call.headers.get("content-type", "").partition("boundary=")
    if not boundary:
        raise RefusedError(400, "The body must be a multipart form.")
    fields: dict[str, tuple[str, bytes]] = {}
    for part in call.body.split(b"--" + boundary.strip('"').encode()):
        head, found, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not found or name is None:
            continue
        filename = _FILENAME.search(head)
        fields[name[1].decode()] = (
            filename[1].decode() if filename else "",
            content.removesuffix(b"\r\n"),
        )
    return fields
