"""The routes under /v1/fine_tuning/alpha/graders: to try a grader before a job is paid with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftctl_worker.api.requests import read_json
from ftctl_worker.errors import BadRequestError
from ftctl_worker.graders.grader import Grade, GradingError, fields_of
from ftctl_worker.graders.parsing import parse_grader

if TYPE_CHECKING:
    from starlette.requests import Request

    from ftctl_worker.settings import Settings

__all__ = ["GraderRoutes"]

_FLAGS = (
    "formula_parse_error", "sample_parse_error", "truncated_observation_error",
    "unresponsive_reward_error", "invalid_variable_error", "other_error",
    "python_grader_server_error", "python_grader_runtime_error", "model_grader_server_error",
    "model_grader_refusal_error", "model_grader_parse_error",
)  # fmt: skip
_DETAILS = (
    "python_grader_server_error_type", "python_grader_runtime_error_details",
    "model_grader_server_error_details",
)  # fmt: skip


class GraderRoutes:
    """Validates and runs graders."""

    def __init__(self, settings: Settings) -> None:
        """Run what the settings allow."""
        self._settings = settings

    def routes(self) -> list[Route]:
        """Return the routes."""
        here = "/v1/fine_tuning/alpha/graders"
        return [
            Route(f"{here}/validate", self.validate, methods=["POST"]),
            Route(f"{here}/run", self.run, methods=["POST"]),
        ]

    async def validate(self, request: Request) -> Response:
        """Return the grader where this server can run it."""
        body = _object(await read_json(request))
        self._read(body)
        return JSONResponse({"grader": body["grader"]})

    async def run(self, request: Request) -> Response:
        """Grade one answer."""
        body = _object(await read_json(request))
        grader = self._read(body)
        answer, item = body.get("model_sample"), body.get("item", {})
        if not isinstance(answer, str):
            raise BadRequestError("'model_sample' must be a string.", param="model_sample")
        if not isinstance(item, dict):
            raise BadRequestError("'item' must be an object.", param="item")
        started = time.monotonic()
        grade, error = await run_in_threadpool(_graded, grader, fields_of(answer, item))
        seconds = time.monotonic() - started
        return JSONResponse(_answer(body["grader"], grade, error, seconds))

    def _read(self, body: dict[str, Any]) -> Any:
        return parse_grader(
            body.get("grader"), "grader", python=self._settings.allow_python_graders
        )


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadRequestError("The request body must be a JSON object.")
    return body


def _graded(grader: Any, fields: dict[str, Any]) -> tuple[Grade, GradingError | None]:
    try:
        return grader.grade(fields), None
    except GradingError as error:
        return Grade(0.0), error


def _answer(
    given: dict[str, Any], grade: Grade, error: GradingError | None, seconds: float
) -> dict[str, Any]:
    errors: dict[str, Any] = {**dict.fromkeys(_FLAGS, False), **dict.fromkeys(_DETAILS)}
    if error is not None:
        errors[error.fault] = True
        if error.fault == "python_grader_runtime_error":
            errors["python_grader_runtime_error_details"] = str(error)
    return {
        "reward": grade.reward,
        "metadata": {
            "name": given["name"],
            "type": given["type"],
            "errors": errors,
            "execution_time": round(seconds, 6),
            "scores": dict(grade.parts) or {given["name"]: grade.reward},
            "token_usage": None,
            "sampled_model_name": None,
        },
        "sub_rewards": dict(grade.parts),
        "model_grader_token_usage_per_model": {},
    }
