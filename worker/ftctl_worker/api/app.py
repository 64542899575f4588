"""The ASGI application: all routes, one envelope for every error."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from ftctl_worker import __version__
from ftctl_worker.api.adapters import AdapterRoutes
from ftctl_worker.api.answers import refusal
from ftctl_worker.api.chat import ChatRoutes
from ftctl_worker.api.files import FileRoutes
from ftctl_worker.api.graders import GraderRoutes
from ftctl_worker.api.guard import Guard, OpenRequests
from ftctl_worker.api.jobs import JobRoutes
from ftctl_worker.api.models import ModelRoutes
from ftctl_worker.api.permissions import PermissionRoutes
from ftctl_worker.api.responses import ResponseRoutes
from ftctl_worker.api.status import Counters, StatusRoutes
from ftctl_worker.api.unknown import unknown_url
from ftctl_worker.api.uploads import UploadRoutes
from ftctl_worker.errors import ApiError, BadRequestError, MethodNotAllowedError
from ftctl_worker.queue import disk

if TYPE_CHECKING:
    from starlette.requests import Request

    from ftctl_worker.api.services import Services
    from ftctl_worker.settings import Settings

__all__ = ["build_app"]

_LOG = logging.getLogger("ftctl_worker")


def build_app(services: Services, settings: Settings, open_requests: OpenRequests) -> Starlette:
    """Assemble the application; nothing runs yet."""
    counters = Counters()
    routes = [
        Route("/health", _health, methods=["GET"]),
        *FileRoutes(services.files, services.home, services.disk).routes(),
        *UploadRoutes(services.uploads, services.files, services.home, services.disk).routes(),
        *StatusRoutes(services, settings, counters).routes(),
        *JobRoutes(
            jobs=services.jobs,
            files=services.files,
            history=services.history,
            catalog=services.lookup.catalog,
            changed=services.jobs_changed,
            settings=settings,
            disk=services.disk,
        ).routes(),
        *PermissionRoutes(services.lookup.tuned).routes(),
        *GraderRoutes(settings).routes(),
        *AdapterRoutes(services.lookup).routes(),
        *ModelRoutes(services.lookup, services.disk).routes(),
        *ChatRoutes(services.engine, services.lookup).routes(),
        *ResponseRoutes(services.engine, services.lookup).routes(),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(
                Guard,
                settings=settings,
                tokens=services.tokens,
                open_requests=open_requests,
                counters=counters,
            )
        ],
        exception_handlers={
            ApiError: _api_error,
            ClientDisconnect: _gone,
            OSError: _storage_error,
            sqlite3.Error: _storage_error,
            400: _bad_request,
            404: _not_found,
            405: _method_not_allowed,
            Exception: _server_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.home = services.home.root
    return app


def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})


def _api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return refusal(error)


def _gone(_request: Request, _error: Exception) -> Response:
    # Nobody reads this; it is counted, and a client that hangs up is no error of the server's.
    return Response(status_code=499)


def _bad_request(_request: Request, error: Exception) -> Response:
    return refusal(BadRequestError(str(getattr(error, "detail", error))))


def _not_found(request: Request, _error: Exception) -> Response:
    return refusal(unknown_url(request.method, request.url.path))


def _method_not_allowed(request: Request, _error: Exception) -> Response:
    where = f"{request.method} {request.url.path[:200]}"
    return refusal(
        MethodNotAllowedError(f"Not allowed to {where}", code="method_not_supported"),
        headers={"allow": ", ".join(sorted(_methods_of(request)))},
    )


def _methods_of(request: Request) -> set[str]:
    """Return what every route of this path takes; a route by itself knows only its own."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    fitting = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in fitting for method in route.methods or ()}


def _storage_error(request: Request, error: Exception) -> Response:
    if not disk.is_full(error, request.app.state.home):
        return _server_error(request, error)
    _LOG.error("%s %s found the disk full", request.method, request.url.path)
    return refusal(disk.full())


def _server_error(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    body = {
        "error": {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    }
    return JSONResponse(body, status_code=500)
