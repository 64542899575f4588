"""The routes under /v1/models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftctl_worker.api import answers
from ftctl_worker.errors import BadRequestError, NotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request

    from ftctl_worker.bases import Catalog
    from ftctl_worker.tuned_models import TunedModels

__all__ = ["ModelRoutes"]


class ModelRoutes:
    """List base and tuned models, and delete tuned ones."""

    def __init__(self, tuned: TunedModels, catalog: Catalog) -> None:
        """Serve ``tuned`` over ``catalog``."""
        self._tuned = tuned
        self._catalog = catalog

    def routes(self) -> list[Route]:
        """Return the routes; a model's name may hold slashes."""
        return [
            Route("/v1/models", self.every, methods=["GET"]),
            Route("/v1/models/{model:path}", self.retrieve, methods=["GET"]),
            Route("/v1/models/{model:path}", self.delete, methods=["DELETE"]),
        ]

    def every(self, _request: Request) -> Response:
        """List every model that can be named."""
        return JSONResponse({"object": "list", "data": self._all()})

    def retrieve(self, request: Request) -> Response:
        """Describe one model."""
        name: str = request.path_params["model"]
        for model in self._all():
            if model["id"] == name:
                return JSONResponse(model)
        raise _unknown(name)

    def delete(self, request: Request) -> Response:
        """Delete a tuned model."""
        name: str = request.path_params["model"]
        if not self._tuned.delete(name):
            if any(base.name == name for base in self._catalog.available()):
                raise BadRequestError(
                    f"{name} is a base model and cannot be deleted.", param="model"
                )
            raise _unknown(name)
        return JSONResponse({"id": name, "object": "model", "deleted": True})

    def _all(self) -> list[answers.Answer]:
        bases = [
            answers.model(base.name, created=0, owner="base") for base in self._catalog.available()
        ]
        tuned = [
            answers.model(model.name, created=model.created_at, owner="ftctl")
            for model in self._tuned.all()
        ]
        return bases + tuned


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(
        f"The model '{name[:200]}' does not exist", param="model", code="model_not_found"
    )
