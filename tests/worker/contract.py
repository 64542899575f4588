"""Checks every answer of a server against the official API description."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import httpx2
import yaml
from jsonschema import Draft202012Validator
from openai.types.responses import Response
from referencing import Registry
from referencing.jsonschema import DRAFT202012

DESCRIPTION = Path(__file__).parents[1] / "contracts" / "openai-fine-tuning.openapi.yaml"
_URI = "urn:openai"


def check_answer(response: httpx2.Response) -> None:
    """Fail where a JSON answer does not conform to the operation it answers."""
    if "application/json" not in response.headers.get("content-type", ""):
        return
    response.read()
    path = response.request.url.path
    if not path.startswith("/v1/") or path.startswith("/v1/worker/"):
        return
    if path == "/v1/responses" and response.status_code < 300:
        # The cut of the description has no responses; what the SDK expects is as strict.
        Response.model_validate(response.json())
        return
    pointer = (
        _ok_schema(response.request.method, path.removeprefix("/v1"))
        if response.status_code < 300
        else "#/components/schemas/ErrorResponse"
    )
    errors = [
        f"{error.json_path}: {error.message}"
        for error in _validator(pointer).iter_errors(response.json())
    ]
    assert not errors, (response.request.method, path, errors, response.text)


def check_schema(name: str, value: object) -> None:
    """Fail where ``value`` does not conform to a named component."""
    errors = list(_validator(f"#/components/schemas/{name}").iter_errors(value))
    assert not errors, (errors, value)


def _ok_schema(method: str, path: str) -> str:
    for template, operations in document()["paths"].items():
        pattern = re.sub(r"\{[^}]*\}", ".+" if template == "/models/{model}" else "[^/]+", template)
        if method.lower() in operations and re.fullmatch(pattern, path):
            content = operations[method.lower()]["responses"]["200"]["content"]
            reference: str = content["application/json"]["schema"]["$ref"]
            return reference
    raise AssertionError(f"{method} {path} is not in the description")


@functools.cache
def _validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"{_URI}{pointer}"}, registry=_registry())


@functools.cache
def _registry() -> Any:
    empty: Registry[Any] = Registry()
    return empty.with_resource(_URI, DRAFT202012.create_resource(document()))


@functools.cache
def document() -> dict[str, Any]:
    """Return the description, with what it says wrong of itself put right."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(DESCRIPTION.read_text(encoding="utf-8"), Loader=loader)
    # The published example of pausing says "paused", which the published enumeration forgets.
    status = document["components"]["schemas"]["FineTuningJob"]["properties"]["status"]
    status["enum"].append("paused")
    # A multi grader maps names to graders; the description shows one grader in place of the map.
    graders = document["components"]["schemas"]["GraderMulti"]["properties"]["graders"]
    document["components"]["schemas"]["GraderMulti"]["properties"]["graders"] = {
        "type": "object",
        "additionalProperties": graders,
    }
    return document
