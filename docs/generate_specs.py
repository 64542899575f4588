"""Write the keys of docs/specs.md from the published schema, or check that they still are (`--check`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from orchestrator.specs.checking import described, spec_schema

TARGET = Path(__file__).parent / "specs.md"
BEGIN, END = "<!-- keys: begin -->", "<!-- keys: end -->"
# The tables under the top, in the order of the page.
_TABLES = (
    "data", "split", "hyperparameters", "lora", "worker", "compare", "task", "mixed", "sweep", "budget",
)  # fmt: skip


def keys() -> str:
    """Every key with what it takes, in tables."""
    rules = spec_schema()
    parts = [_table("The top", rules, rules)]
    for name in _TABLES:
        rule = rules["$defs"]["data"]["properties"]["split"] if name == "split" else None
        parts.append(_table(f"`{name}`", rule or rules["$defs"][name], rules))
    return "\n\n".join(parts)


def _table(title: str, rule: dict[str, Any], rules: dict[str, Any]) -> str:
    lines = [f"### {title}", "", "| key | takes | |", "|---|---|---|"]
    needed = rule.get("required", [])
    for name, each in rule["properties"].items():
        inner = rules["$defs"][each["$ref"].rsplit("/", 1)[-1]] if "$ref" in each else {}
        told = {**inner, **each}
        default = f" Default: `{_plain(told['default'])}`." if "default" in told else ""
        must = " Required." if name in needed else ""
        words = f"{told.get('description', '')}{must}{default}"
        lines.append(f"| `{name}` | {described(each, rules)} | {words} |")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def page() -> str:
    """The page with its keys written anew."""
    text = TARGET.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{keys()}\n\n{END}{rest.split(END)[1]}"


def main() -> int:
    """Write or check; the exit code says whether the page is what the schema says."""
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page(), encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/specs.md is not what the schema says; run: make format\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
