"""JSON and TOML to plain values; their parsers give no places, so places are looked up in the text."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from orchestrator.specs.document import Document, Mistake, Place, Steps
from orchestrator.specs.yaml_source import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

_TABLE = re.compile(r"^\s*\[(\[?)\s*(?P<name>[^\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*(?P<key>(?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[\w"'-]+)*)\s*=\s*""")
_AT = re.compile(r"\(at line (\d+), column (\d+)\)")


def read_json(path: Path, text: str) -> Document:
    """The values of a JSON file; every JSON text is YAML as well, which knows the places."""
    repeated: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in found]
        repeated.extend({name for name in names if names.count(name) > 1})
        return dict(found)

    try:
        value = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        mistake = Mistake(
            message=f"This is not JSON: {error.msg}.", place=Place(error.lineno, error.colno)
        )
        return Document(path=path, value=None, mistakes=[mistake])
    except RecursionError:
        return Document(
            path=path, value=None, mistakes=[Mistake(message="It is nested too deep to be read.")]
        )
    # A tab may indent JSON, and not YAML; inside a JSON string it cannot stand.
    seen = read_yaml(path, text.replace("\t", " "))
    mistakes = [m for m in seen.mistakes if "twice" in m.message] or [
        Mistake(message=f"The key '{name}' stands there twice.") for name in repeated
    ]
    return Document(path=path, value=value, values=seen.values, keys=seen.keys, mistakes=mistakes)


def read_toml(path: Path, text: str) -> Document:
    """The values of a TOML file, with the lines of tables and keys."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _AT.search(str(error))
        message = f"This is not TOML: {_AT.sub('', str(error)).strip()}."
        place = Place(int(at[1]), int(at[2])) if at else None
        return Document(path=path, value=None, mistakes=[Mistake(message=message, place=place)])
    values, keys = _toml_places(text)
    return Document(path=path, value=_plain(value), values=values, keys=keys)


def _toml_places(text: str) -> tuple[dict[Steps, Place], dict[Steps, Place]]:
    values: dict[Steps, Place] = {(): Place(1, 1)}
    keys: dict[Steps, Place] = {}
    table: Steps = ()
    lists: dict[Steps, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if head := _TABLE.match(line):
            table = _names(head["name"])
            if head[1]:
                lists[table] = lists.get(table, -1) + 1
                table = (*table, lists[table])
            place = Place(number, head.start("name") + 1)
            values.setdefault(table, place)
            keys.setdefault(table, place)
        elif found := _KEY.match(line):
            steps = (*table, *_names(found["key"]))
            keys.setdefault(steps, Place(number, found.start("key") + 1))
            values.setdefault(steps, Place(number, found.end() + 1))
    return values, keys


def _names(dotted: str) -> Steps:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _plain(value: Any) -> Any:
    """Dates as the text that stands in the file: no key of a spec takes a date."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float) else str(value)
