"""Uploads of a simulated host: parts that become one file."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from providers.simulator import files
from providers.simulator.exchange import RefusedError

if TYPE_CHECKING:
    from providers.simulator.dialects import SimulatedDialect
    from providers.simulator.exchange import Call
    from providers.simulator.state import State

    Record = dict[str, Any]

LIFETIME = 3600
LARGEST_PART = 64 * 1024 * 1024


def begin(state: State, body: Any, serial: str, now: int) -> Record:
    """Make an upload.

    Raises:
        RefusedError: a field is missing.
    """
    for name in ("filename", "purpose", "bytes", "mime_type"):
        if name not in body:
            raise RefusedError(400, f"Missing required parameter: '{name}'.", param=name)
    record: Record = {
        "id": f"upload_{serial}",
        "object": "upload",
        "filename": body["filename"],
        "purpose": body["purpose"],
        "bytes": int(body["bytes"]),
        "created_at": now,
        "expires_at": now + LIFETIME,
        "status": "pending",
        "parts": {},
        "file": None,
    }
    state["uploads"][record["id"]] = record
    return record


def add(state: State, upload_id: str, call: Call, serial: str, now: int) -> dict[str, Any]:
    """Take a part in.

    Raises:
        RefusedError: the upload takes no part, or none came.
    """
    record = _pending(state, upload_id, now)
    content = files.form(call).get("data", ("", b""))[1]
    if not content or len(content) > LARGEST_PART:
        raise RefusedError(400, "'data' must hold 1 byte to 64 MB.", param="data")
    part = f"part_{serial}"
    # Text, for the memory may be a JSON file; Latin-1 gives every byte a character.
    record["parts"][part] = content.decode("latin-1")
    return {"id": part, "object": "upload.part", "created_at": now, "upload_id": upload_id}


def end(
    state: State, upload_id: str, body: Any, dialect: SimulatedDialect, *, serial: str, now: int
) -> dict[str, Any]:
    """Make a file of the parts that are named.

    Raises:
        RefusedError: the parts are not the file that was announced.
    """
    record = _pending(state, upload_id, now)
    try:
        content = "".join(record["parts"][part] for part in body["part_ids"]).encode("latin-1")
    except KeyError as error:
        raise RefusedError(400, f"No such part: {error}.", param="part_ids") from error
    if len(content) != record["bytes"]:
        raise RefusedError(
            400, f"The parts have {len(content)} bytes, not {record['bytes']}.", param="part_ids"
        )
    sum_of_it = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if body.get("md5") not in {None, sum_of_it}:
        raise RefusedError(400, "The checksum does not match.", param="md5")
    file = files.take_in(
        state,
        record["filename"],
        content,
        purpose=record["purpose"],
        serial=serial,
        now=now,
    )
    record.update(status="completed", file=file["id"], parts={})
    return shown(state, record, dialect)


def cancel(state: State, upload_id: str, dialect: SimulatedDialect, now: int) -> dict[str, Any]:
    """Let the parts go."""
    record = _pending(state, upload_id, now)
    record.update(status="cancelled", parts={})
    return shown(state, record, dialect)


def shown(state: State, record: Record, dialect: SimulatedDialect) -> dict[str, Any]:
    """An upload as the host tells it."""
    told = {name: value for name, value in record.items() if name not in {"parts", "file"}}
    if record["file"]:
        told["file"] = files.shown(state["files"][record["file"]], dialect)
    return told


def _pending(state: State, upload_id: str, now: int) -> Record:
    record: Record | None = state["uploads"].get(upload_id)
    if record is None:
        raise RefusedError(404, f"No such Upload object: {upload_id}", param="upload_id")
    if record["status"] == "pending" and record["expires_at"] <= now:
        record.update(status="expired", parts={})
    if record["status"] != "pending":
        raise RefusedError(400, f"Upload {upload_id} is {record['status']}.", param="upload_id")
    return record
