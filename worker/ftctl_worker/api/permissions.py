"""The routes under /v1/fine_tuning/checkpoints: with whom a checkpoint is shared.

At OpenAI a permission lends a checkpoint to another project. Here whoever has a token of a project may
use all of its checkpoints, and nobody else any: who is to use one gets a token of its project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftctl_worker.api import answers
from ftctl_worker.api.requests import known_page, project_of, read_json, read_limit
from ftctl_worker.errors import BadRequestError, NotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request

    from ftctl_worker.models.tuned_models import TunedModels

__all__ = ["PermissionRoutes"]

_HIGHEST = 1000
_ORDERS = ("ascending", "descending")


class PermissionRoutes:
    """Say that no checkpoint is shared, and refuse to share one."""

    def __init__(self, tuned: TunedModels) -> None:
        """Answer for the checkpoints among ``tuned``."""
        self._tuned = tuned

    def routes(self) -> list[Route]:
        """Return the routes; a checkpoint's name may hold slashes."""
        here = "/v1/fine_tuning/checkpoints/{checkpoint:path}/permissions"
        return [
            Route(here, self.list, methods=["GET"]),
            Route(here, self.create, methods=["POST"]),
            Route(f"{here}/{{permission_id}}", self.delete, methods=["DELETE"]),
        ]

    def list(self, request: Request) -> Response:
        """List the permissions of a checkpoint: there are none."""
        self._find(request)
        read_limit(request, default=10, highest=_HIGHEST)
        if request.query_params.get("order", _ORDERS[0]) not in _ORDERS:
            raise BadRequestError("'order' must be 'ascending' or 'descending'.", param="order")
        known_page(() if request.query_params.get("after") is None else None)
        return JSONResponse(
            {**answers.listing([], has_more=False), "first_id": None, "last_id": None}
        )

    async def create(self, request: Request) -> Response:
        """Refuse to share a checkpoint."""
        body = await read_json(request)
        await run_in_threadpool(self._find, request)
        projects = body.get("project_ids") if isinstance(body, dict) else None
        if not _is_list_of_texts(projects):
            raise BadRequestError("'project_ids' must be a list of strings.", param="project_ids")
        raise BadRequestError(
            "Every token of this project may use this checkpoint, and it is lent to no other; for "
            "somebody else, the operator makes a token with 'ftctl-worker token add NAME'.",
            param="project_ids",
            code="unsupported_operation",
        )

    def delete(self, request: Request) -> Response:
        """Say that there is no such permission."""
        self._find(request)
        permission: str = request.path_params["permission_id"]
        raise NotFoundError(
            f"No such checkpoint permission: {permission[:100]}", param="permission_id"
        )

    def _find(self, request: Request) -> None:
        name: str = request.path_params["checkpoint"]
        if self._tuned.get(name, project_of(request)) is None:
            raise NotFoundError(
                f"The checkpoint '{name[:200]}' does not exist",
                param="fine_tuned_model_checkpoint",
                code="model_not_found",
            )


def _is_list_of_texts(value: object) -> bool:
    texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return texts and bool(value)
