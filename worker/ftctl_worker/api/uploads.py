"""The routes under /v1/uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftctl_worker.api import answers
from ftctl_worker.api.files import EXPIRY_SECONDS, checked_purpose, label_of
from ftctl_worker.api.forms import read_upload
from ftctl_worker.api.requests import project_of, read_json
from ftctl_worker.errors import BadRequestError
from ftctl_worker.ids import new_id

if TYPE_CHECKING:
    from starlette.requests import Request

    from ftctl_worker.home import Home
    from ftctl_worker.queue.disk import Disk
    from ftctl_worker.queue.filestore import FileStore
    from ftctl_worker.queue.uploads import Upload, Uploads

__all__ = ["UploadRoutes"]

_MOST_BYTES = 8 * 1024**3


class UploadRoutes:
    """Create an upload, add parts, complete or cancel it."""

    def __init__(self, uploads: Uploads, files: FileStore, home: Home, disk: Disk) -> None:
        """Serve ``uploads``, which become ``files``, with parts under way kept in ``home``."""
        self._uploads = uploads
        self._files = files
        self._home = home
        self._disk = disk

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = "/v1/uploads/{upload_id}"
        return [
            Route("/v1/uploads", self.create, methods=["POST"]),
            Route(f"{one}/parts", self.add_part, methods=["POST"]),
            Route(f"{one}/complete", self.complete, methods=["POST"]),
            Route(f"{one}/cancel", self.cancel, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        """Announce a file."""
        body = _object(await read_json(request))
        size = _size(body.get("bytes"))
        self._disk.check(size)
        await run_in_threadpool(self._files.check_quota, size, project_of(request))
        created = await run_in_threadpool(
            self._uploads.create,
            filename=label_of(_text(body, "filename")),
            purpose=_purpose(body),
            size=size,
            file_expires_after=_expiry(body.get("expires_after")),
            project=project_of(request),
        )
        return JSONResponse(answers.upload(created))

    async def add_part(self, request: Request) -> Response:
        """Take one part."""
        upload_id = (await run_in_threadpool(self._find, request)).id
        self._disk.check(int(request.headers.get("content-length", "0")))
        place = self._home.uploads / new_id("part-")
        try:
            form = await read_upload(request, place, "data")
            if form.filename is None:
                raise BadRequestError("You must provide 'data'.", param="data")
            part_id, now = await run_in_threadpool(self._uploads.add_part, upload_id, place)
        finally:
            place.unlink(missing_ok=True)
        return JSONResponse(
            {
                "id": part_id,
                "object": "upload.part",
                "created_at": now,
                "upload_id": upload_id,
            }
        )

    async def complete(self, request: Request) -> Response:
        """Put the parts together."""
        body = _object(await read_json(request))
        parts, md5 = body.get("part_ids"), body.get("md5")
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise BadRequestError("'part_ids' must be a list of strings.", param="part_ids")
        if md5 is not None and not isinstance(md5, str):
            raise BadRequestError("'md5' must be a string.", param="md5")
        found = await run_in_threadpool(self._find, request)
        upload, file = await run_in_threadpool(self._uploads.complete, found.id, parts, md5)
        return JSONResponse(answers.upload(upload, file))

    def cancel(self, request: Request) -> Response:
        """Throw an upload away."""
        return JSONResponse(answers.upload(self._uploads.cancel(self._find(request).id)))

    def _find(self, request: Request) -> Upload:
        return self._uploads.get(request.path_params["upload_id"], project_of(request))


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadRequestError("The request body must be a JSON object.")
    return body


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST_BYTES:
        raise BadRequestError(f"'bytes' must be from 1 to {_MOST_BYTES}.", param="bytes")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequestError(f"You must provide '{name}'.", param=name)
    return value


def _purpose(body: dict[str, Any]) -> str:
    purpose = _text(body, "purpose")
    _text(body, "mime_type")
    return checked_purpose(purpose)


def _expiry(value: object) -> int | None:
    if value is None:
        return None
    given = value if isinstance(value, dict) else {}
    seconds = given.get("seconds")
    low, high = EXPIRY_SECONDS
    right = isinstance(seconds, int) and not isinstance(seconds, bool) and low <= seconds <= high
    if given.get("anchor") != "created_at" or not right:
        raise BadRequestError(
            f"'expires_after' takes the anchor 'created_at' and from {low} to {high} seconds.",
            param="expires_after",
        )
    return int(seconds)  # type: ignore[arg-type]
