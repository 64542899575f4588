"""A document against the published schema: every mistake in words, with its place and its mend."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from orchestrator.resources import schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonschema import ValidationError

    from orchestrator.specs.document import Document, Mistake, Steps

SCHEMA_FILE = "spec.schema.json"
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_SECRET = frozenset({"api_key", "apikey", "key", "token", "secret", "password"})
# What other tools call it.
_ALIASES = {
    "epochs": "n_epochs",
    "num_train_epochs": "n_epochs",
    "learning_rate": "learning_rate_multiplier",
    "lr": "learning_rate_multiplier",
    "base_model": "model",
    "profile": "provider",
    "training": "train",
    "training_file": "train",
    "validation_file": "validation",
    "dataset": "data",
    "datasets": "data",
    "comparison": "compare",
    "eval": "compare",
}
_SHOWN = 40


def spec_schema() -> dict[str, Any]:
    """The published JSON Schema of spec files."""
    return schema(SCHEMA_FILE)


def schema_mistakes(document: Document) -> list[Mistake]:
    """Everything that the schema does not allow, in the order of the file."""
    rules = spec_schema()
    found = [
        mistake
        for error in Draft202012Validator(rules).iter_errors(document.value)
        for mistake in _mistakes(document, error, rules)
    ]
    found += _variables(document, document.value, ())
    return found


def _mistakes(
    document: Document, error: ValidationError, rules: Mapping[str, Any]
) -> Iterator[Mistake]:
    steps: Steps = tuple(error.absolute_path)
    rule: Any = error.schema
    value: Any = error.instance
    if error.validator == "additionalProperties":
        known = list(rule.get("properties", {}))
        for key in value:
            if key not in known:
                yield _unknown(document, (*steps, key), known, rules)
    elif error.validator == "required":
        missing = re.findall(r"'([^']+)' is a required", error.message)
        for key in missing:
            yield document.mistake(steps, f"{_inside(steps)}lacks '{key}'.", _example(rules, key))
    elif error.validator == "propertyNames" or "propertyNames" in error.absolute_schema_path:
        name = str(error.instance)
        yield document.mistake_at_key(
            (*steps, name), f"'{name}' is no name: {rules['$defs']['name']['description']}"
        )
    elif error.validator == "minProperties":
        yield document.mistake(steps, f"{_named(steps)} is empty.")
    else:
        yield document.mistake(
            steps,
            f"{_named(steps)} must be {described(rule, rules)}, not {_shown(value)}.",
            _mend(error, rules),
        )


def described(rule: Mapping[str, Any], rules: Mapping[str, Any]) -> str:
    """What a rule allows, in words."""
    if "$ref" in rule:
        return described(rules["$defs"][rule["$ref"].rsplit("/", 1)[-1]], rules)
    if "anyOf" in rule:
        return " or ".join(reversed([described(each, rules) for each in rule["anyOf"]]))
    if "const" in rule:
        return json.dumps(rule["const"])
    if "enum" in rule:
        return "one of " + ", ".join(str(each) for each in rule["enum"])
    kind = rule.get("type")
    if kind in {"integer", "number"}:
        return ("a whole number" if kind == "integer" else "a number") + _bounds(rule)
    if kind == "string" and "pattern" in rule:
        return "a name: " + str(rule.get("description", rule["pattern"])).rstrip(".")
    if kind == "array":
        least = f" of at least {rule['minItems']}" if rule.get("minItems", 0) > 1 else ""
        return f"a list{least}"
    words = {"string": "a text", "boolean": "true or false", "object": "a table of keys"}
    return words.get(str(kind), "something else")


def _bounds(rule: Mapping[str, Any]) -> str:
    low, high = rule.get("minimum"), rule.get("maximum")
    above, below = rule.get("exclusiveMinimum"), rule.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" from {low}" + (f" to below {below}" if below is not None else "")
    if above is not None and below is not None:
        return f" between {above} and {below}"
    return f" above {above}" if above is not None else ""


def _unknown(
    document: Document, steps: Steps, known: list[str], rules: Mapping[str, Any]
) -> Mistake:
    key = str(steps[-1])
    message = f"There is no key '{key}' {_where(steps[:-1])}."
    if key.lower() in _SECRET:
        fix = "keys stay out of spec files: name the profile, and api_key_env in ftctl.toml"
        return document.mistake_at_key(steps, message, fix)
    alias = _ALIASES.get(key.lower())
    near = [alias] if alias in known else difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return document.mistake_at_key(steps, message, f"{near[0]}:")
    home = _home(alias or key, rules)
    fix = f"it belongs {home}" if home else "known here: " + ", ".join(sorted(known))
    return document.mistake_at_key(steps, message, fix)


def _home(key: str, rules: Mapping[str, Any]) -> str | None:
    """Where a key belongs that stands in the wrong place."""
    if key in rules["properties"]:
        return f"at the top: {key}:"
    for name in ("hyperparameters", "lora", "worker", "data", "compare", "budget", "sweep"):
        if key in rules["$defs"][name]["properties"]:
            return f"under {name}: {key}:"
    return None


def _mend(error: ValidationError, rules: Mapping[str, Any]) -> str | None:
    rule: Any = error.schema
    value, allowed = error.instance, described(rule, rules)
    if isinstance(value, str) and "true or false" in allowed:
        meant = {"no": "false", "off": "false", "n": "false", "yes": "true", "on": "true"}
        return meant.get(value.lower())
    if "text" in allowed and isinstance(value, int | float):
        return f'in quotes: "{value}"'
    if isinstance(value, str) and "enum" in rule:
        near = difflib.get_close_matches(value, rule["enum"], n=1)
        return near[0] if near else None
    return None


def _variables(document: Document, value: Any, steps: Steps) -> Iterator[Mistake]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _variables(document, each, (*steps, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _variables(document, each, (*steps, index))
    elif isinstance(value, str) and steps[-1:] != ("notes",) and _VARIABLE.search(value):
        yield document.mistake(
            steps,
            f"{_VARIABLE.findall(value)[0]} is not replaced: a spec says the same everywhere.",
            "write the value; keys come from the profile's api_key_env",
        )


def _named(steps: Steps) -> str:
    return ".".join(str(step) for step in steps) or "The file"


def _inside(steps: Steps) -> str:
    return f"{_named(steps)} "


def _where(steps: Steps) -> str:
    return f"under {_named(steps)}" if steps else "at the top"


def _example(rules: Mapping[str, Any], key: str) -> str:
    rule = rules["properties"].get(key, {})
    examples = rule.get("examples", ["..."])
    return f"{key}: {examples[0]}"


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
