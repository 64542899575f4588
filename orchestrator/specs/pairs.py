"""A table of a spec file, typed as KEY=VALUE pairs on the command line."""

from __future__ import annotations

import difflib
import json
import shlex
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from orchestrator.domain.errors import UsageError
from orchestrator.specs.checking import described, spec_schema

if TYPE_CHECKING:
    from collections.abc import Sequence


def table_of(name: str, given: Sequence[str]) -> dict[str, Any]:
    """The keys and values of the spec's table `name` (`lora`, `worker`), as typed after `--name`.

    A value is read as JSON where the schema takes it so (8, true, ["q_proj"]), else as text.

    Raises:
        UsageError: there is no such key, it comes twice, or its value is none that it takes.
    """
    rules = spec_schema()
    known = rules["$defs"][name]["properties"]
    found: dict[str, Any] = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--{name} {pair} is no pair.", hint=f"--{name} KEY=VALUE")
        if key in found:
            raise UsageError(f"--{name} {key} is given twice.", hint="leave one of them away")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise UsageError(
                f"--{name} takes {', '.join(known)}, not '{key}'.",
                hint=f"--{name} {near[0]}={text}" if near else None,
            )
        found[key] = _value(name, key, text, known[key], rules)
    return found


def _value(name: str, key: str, text: str, rule: dict[str, Any], rules: dict[str, Any]) -> Any:
    for value in (_json(text), text):
        if Draft202012Validator(rule).is_valid(value):
            return value
    raise UsageError(
        f"--{name} {key} must be {described(rule, rules)}, not {text[:40]}.",
        hint=f"--{name} {key}={_example(rule)}",
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _example(rule: dict[str, Any]) -> str:
    examples = [*rule.get("examples", []), *rule.get("enum", [])]
    if "default" in rule:
        examples.append(rule["default"])
    value = examples[0] if examples else "VALUE"
    return (
        value if isinstance(value, str) else shlex.quote(json.dumps(value, separators=(",", ":")))
    )
