"""A grader for answers that must follow a JSON Schema: valid or not, and the fields beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.grading.grader import Score
from orchestrator.grading.json_fields import parse_json

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator


class JsonSchema:
    """Whether the answer is JSON that the schema accepts; the reference plays no part."""

    name = "json_schema"

    def __init__(self, validator: Draft202012Validator) -> None:
        """Take a validator over a sound schema."""
        self._validator = validator

    def grade(self, answer: str, reference: str) -> Score:
        """1 when it is valid."""
        del reference
        found = parse_json(answer)
        if found is None:
            return Score(value=0.0, passed=False, reason="the answer is not JSON")
        try:
            error = next(self._validator.iter_errors(found.value), None)
        except RecursionError:
            return Score(value=None, reason="nested too deep to check")
        if error is None:
            return Score(value=1.0, passed=True, reason="valid")
        where = "/".join(str(part) for part in error.absolute_path) or "the whole"
        return Score(value=0.0, passed=False, reason=f"{where}: {error.message[:120]}")


def json_schema(argument: str | None) -> JsonSchema:
    """The grader `json-schema:FILE`.

    Raises:
        UsageError: no such file, or no sound schema in it.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        schema = json.loads(Path(argument or "").read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
    except (OSError, ValueError, SchemaError) as error:
        why = error.message if isinstance(error, SchemaError) else str(error)
        raise UsageError(
            f"'{argument or ''}' holds no JSON Schema: {why}.", hint="--grader json-schema:FILE"
        ) from error
    return JsonSchema(Draft202012Validator(schema))
