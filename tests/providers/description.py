"""OpenAI's and Azure's descriptions, as validators."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

CONTRACTS = Path(__file__).parents[1] / "contracts"
HOME = "urn:openai"


@cache
def openai() -> dict[str, Any]:
    text = (CONTRACTS / "openai-fine-tuning.openapi.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded


@cache
def azure() -> dict[str, Any]:
    text = (CONTRACTS / "azure" / "azure-openai-v1.fine_tuning.schemas.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def operation(method: str, path: str) -> dict[str, Any]:
    """The operation that a path with its ids filled in belongs to."""
    for template, item in openai()["paths"].items():
        if method.lower() in item and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
            found: dict[str, Any] = item[method.lower()]
            return found
    raise AssertionError(f"{method} {path} is not described")


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """How a value breaks a schema of OpenAI's description."""
    registry: Registry[Any] = Registry().with_resource(HOME, DRAFT202012.create_resource(openai()))
    validator = Draft202012Validator(_absolute(schema), registry=registry)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def azure_faults(name: str, value: Any) -> list[str]:
    """Where a value breaks one of Azure's schemas."""
    validator = Draft202012Validator({**azure(), "$ref": f"#/$defs/{name}"})
    return sorted(error.json_path for error in validator.iter_errors(value))


def _absolute(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"{HOME}{value}" if key == "$ref" and value.startswith("#") else _absolute(value)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_absolute(part) for part in schema]
    return schema
