"""The routes under /v1/models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftctl_worker.api import answers
from ftctl_worker.api.requests import project_of
from ftctl_worker.errors import BadRequestError, NotFoundError
from ftctl_worker.models.model_facts import facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from ftctl_worker.models.tuned_models import TunedModel
    from ftctl_worker.queue.disk import Disk
    from ftctl_worker.serving.lookup import Lookup

__all__ = ["ModelRoutes"]

_WHY_KEPT = {
    "base": "%s is a base model and cannot be deleted.",
    "adapters": "%s lies in the repository of adapters; 'ftctl adapters remove' removes it there.",
}


class ModelRoutes:
    """List base models, tuned models and adapters of the repository, and delete tuned models."""

    def __init__(self, lookup: Lookup, disk: Disk) -> None:
        """Serve what ``lookup`` knows, whose weights lie on ``disk``."""
        self._lookup = lookup
        self._disk = disk

    def routes(self) -> list[Route]:
        """Return the routes; a model's name may hold slashes."""
        return [
            Route("/v1/models", self.every, methods=["GET"]),
            Route("/v1/models/{model:path}", self.retrieve, methods=["GET"]),
            Route("/v1/models/{model:path}", self.delete, methods=["DELETE"]),
        ]

    def every(self, request: Request) -> Response:
        """List every model that can be named."""
        return JSONResponse({"object": "list", "data": list(self._all(project_of(request)))})

    def retrieve(self, request: Request) -> Response:
        """Describe one model."""
        name: str = request.path_params["model"]
        project = project_of(request)
        if (tuned := self._lookup.tuned.get(name, project)) is not None:
            return JSONResponse(_tuned(tuned))
        for model in self._all(project):
            if model["id"] == name:
                return JSONResponse(model)
        raise _unknown(name)

    def delete(self, request: Request) -> Response:
        """Delete a tuned model."""
        name: str = request.path_params["model"]
        project = project_of(request)
        if not self._disk.make_room(lambda: self._lookup.tuned.delete(name, project)):
            for model in self._all(project):
                if model["id"] == name:
                    raise BadRequestError(_WHY_KEPT[model["owned_by"]] % name, param="model")
            raise _unknown(name)
        return JSONResponse({"id": name, "object": "model", "deleted": True})

    def _all(self, project: str) -> Iterator[answers.Answer]:
        for base in self._lookup.catalog.available():
            yield {**answers.model(base.name, created=0, owner="base"), **facts(base)}
        for model in self._lookup.tuned.all(project):
            yield _tuned(model)
        for name, version in self._lookup.versions():
            said = answers.model(name, created=version.created_at, owner="adapters")
            yield {**said, "root": version.name, "parent": version.base}


def _tuned(model: TunedModel) -> answers.Answer:
    return answers.model(model.name, created=model.created_at, owner="ftctl")


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(
        f"The model '{name[:200]}' does not exist", param="model", code="model_not_found"
    )
