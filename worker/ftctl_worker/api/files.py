"""The routes under /v1/files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ftctl_worker import strictjson
from ftctl_worker.api import answers
from ftctl_worker.api.forms import UploadForm, read_upload
from ftctl_worker.api.requests import known_page, project_of, read_limit
from ftctl_worker.errors import BadRequestError, NotFoundError
from ftctl_worker.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request

    from ftctl_worker.home import Home
    from ftctl_worker.queue.disk import Disk
    from ftctl_worker.queue.filestore import FileStore, StoredFile

__all__ = ["EXPIRY_SECONDS", "FileRoutes", "checked_purpose", "label_of"]

PURPOSES = frozenset({"assistants", "batch", "fine-tune", "user_data", "vision"})
EXPIRY_SECONDS = (3600, 2_592_000)
_CHUNK = 64 * 1024
_FIELDS = {"purpose", "expires_after", "expires_after[anchor]", "expires_after[seconds]"}


class FileRoutes:
    """Upload, list, read and delete files."""

    def __init__(self, files: FileStore, home: Home, disk: Disk) -> None:
        """Serve ``files``, with uploads under way kept in ``home``."""
        self._disk = disk
        self._files = files
        self._home = home

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/files", self.create, methods=["POST"]),
            Route("/v1/files", self.list, methods=["GET"]),
            Route("/v1/files/{file_id}", self.retrieve, methods=["GET"]),
            Route("/v1/files/{file_id}", self.delete, methods=["DELETE"]),
            Route("/v1/files/{file_id}/content", self.content, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """Store an uploaded file."""
        announced = int(request.headers.get("content-length", "0"))
        self._disk.check(announced)
        project = project_of(request)
        await run_in_threadpool(self._files.check_quota, announced, project)
        place = self._home.uploads / new_id("upload-")
        try:
            form = await read_upload(request, place)
            stored = await run_in_threadpool(self._store, form, place, project)
        finally:
            place.unlink(missing_ok=True)
        return JSONResponse(answers.file(stored))

    def list(self, request: Request) -> Response:
        """List files, newest first unless told otherwise."""
        order = request.query_params.get("order", "desc")
        if order not in ("asc", "desc"):
            raise BadRequestError("'order' must be 'asc' or 'desc'.", param="order")
        files, more = known_page(
            self._files.page(
                purpose=request.query_params.get("purpose"),
                after=request.query_params.get("after"),
                limit=read_limit(request, default=10_000, highest=10_000),
                newest_first=order == "desc",
                project=project_of(request),
            )
        )
        data = [answers.file(file) for file in files]
        return JSONResponse(answers.listing(data, has_more=more, edges=True))

    def retrieve(self, request: Request) -> Response:
        """Describe one file."""
        return JSONResponse(answers.file(self._find(request)))

    def delete(self, request: Request) -> Response:
        """Delete one file."""
        file = self._find(request)
        self._disk.make_room(lambda: self._files.delete(file.id))
        return JSONResponse({"id": file.id, "object": "file", "deleted": True})

    def content(self, request: Request) -> Response:
        """Send a file's bytes."""
        file = self._find(request)
        return StreamingResponse(
            _chunks(self._home.file(file.id)),
            media_type="application/octet-stream",
            headers={"content-length": str(file.bytes), "x-content-type-options": "nosniff"},
        )

    def _find(self, request: Request) -> StoredFile:
        file_id: str = request.path_params["file_id"]
        file = self._files.get(file_id, project_of(request))
        if file is None:
            raise NotFoundError(f"No such File object: {file_id}", param="id")
        return file

    def _store(self, form: UploadForm, place: Path, project: str) -> StoredFile:
        if form.filename is None:
            raise BadRequestError("You must provide a 'file'.", param="file")
        _refuse_unknown(form)
        self._files.check_quota(place.stat().st_size, project)
        return self._files.add(
            place,
            filename=label_of(form.filename),
            purpose=checked_purpose(form.fields.get("purpose", "")),
            expires_after=_expiry(form),
            project=project,
        )


def label_of(filename: str) -> str:
    """Return what a client called a file, as a label without control characters."""
    return re.sub(r"[\x00-\x1f\x7f]", "", filename)[:255] or "upload"


def _refuse_unknown(form: UploadForm) -> None:
    """Refuse a field that nobody reads: misspelt, an expiry would be none, and nobody would know."""
    for name in form.fields:
        if name not in _FIELDS:
            shown = name[:100]
            raise BadRequestError(
                f"Unrecognized request argument supplied: {shown}",
                param=shown,
                code="unknown_parameter",
            )


def checked_purpose(purpose: str) -> str:
    """Return a purpose that files may have here.

    Raises:
        BadRequestError: it is none, or one of an API that this server does not have.
    """
    if purpose == "evals":
        # The description lets files be uploaded for it, but none be described with it.
        raise BadRequestError(
            "This server has no evals; upload the file for 'fine-tune' to train on it, or for "
            "'user_data' to keep it.",
            param="purpose",
            code="unsupported_purpose",
        )
    if purpose not in PURPOSES:
        known = ", ".join(sorted(PURPOSES))
        raise BadRequestError(f"'purpose' must be one of {known}.", param="purpose")
    return purpose


def _expiry(form: UploadForm) -> int | None:
    given_in_parts = "expires_after" not in form.fields
    anchor, seconds = _bracketed(form) if given_in_parts else _as_json(form)
    if anchor is None and seconds is None and given_in_parts:
        return None
    if anchor != "created_at":
        raise BadRequestError(
            "'expires_after.anchor' must be 'created_at'.", param="expires_after.anchor"
        )
    low, high = EXPIRY_SECONDS
    given = int(str(seconds)) if re.fullmatch(r"[0-9]{1,8}", str(seconds)) else 0
    if not low <= given <= high:
        raise BadRequestError(
            f"'expires_after.seconds' must be an integer from {low} to {high}.",
            param="expires_after.seconds",
        )
    return given


def _bracketed(form: UploadForm) -> tuple[object, object]:
    return form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]")


def _as_json(form: UploadForm) -> tuple[object, object]:
    """Read the one field that clients send who write an object of a form as JSON."""
    try:
        given = strictjson.loads(form.fields["expires_after"])
    except strictjson.JsonRefusedError:
        given = None
    given = given if isinstance(given, dict) else {}
    return given.get("anchor"), given.get("seconds")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
