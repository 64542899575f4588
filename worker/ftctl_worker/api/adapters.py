"""The routes under /v1/worker/models: the files of an adapter, for those who keep it elsewhere."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ftctl_worker.api.requests import project_of
from ftctl_worker.errors import BadRequestError, ModelError, NotFoundError
from ftctl_worker.models import weights_digest

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from ftctl_worker.serving.lookup import Found, Lookup

__all__ = ["FILES", "AdapterRoutes"]

FILES = ("adapter_config.json", "adapter_model.safetensors", "README.md")


class AdapterRoutes:
    """Describes and sends adapters; a model's name may hold slashes."""

    def __init__(self, lookup: Lookup) -> None:
        """Serve what ``lookup`` knows."""
        self._lookup = lookup

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/worker/models/{model:path}/adapter", self.describe, methods=["GET"]),
            Route("/v1/worker/models/{model:path}/adapter/{file}", self.content, methods=["GET"]),
        ]

    def describe(self, request: Request) -> Response:
        """Say which files an adapter has, with their digests, and what it lies over."""
        found, folder = self._adapter(request)
        files = [_described(folder / name) for name in FILES if (folder / name).is_file()]
        return JSONResponse(
            {
                "object": "worker.adapter",
                "model": found.model,
                "base_model": weights_digest.describe(found.target.base),
                "files": files,
            }
        )

    def content(self, request: Request) -> Response:
        """Send one file of an adapter; a range of it where that is asked for."""
        _, folder = self._adapter(request)
        name: str = request.path_params["file"]
        if name not in FILES or not (folder / name).is_file():
            raise NotFoundError(f"The adapter has no file {name[:100]!r}.", param="file")
        headers = {"x-content-type-options": "nosniff"}
        return FileResponse(folder / name, media_type="application/octet-stream", headers=headers)

    def _adapter(self, request: Request) -> tuple[Found, Path]:
        try:
            found = self._lookup.find(request.path_params["model"], project_of(request))
        except ModelError as error:
            raise NotFoundError(str(error), param="model", code="model_not_found") from error
        if found.target.adapter is None:
            raise BadRequestError(f"{found.model} is a whole model, not an adapter.", param="model")
        return found, found.target.adapter


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
