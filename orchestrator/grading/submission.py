"""A grader that goes to the provider with the job: checked here, for there it fails after hours.

Source: OpenAI's API description (schemas/grader.openai.schema.json) and its graders guide.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import UsageError
from orchestrator.grading.expression import Expression
from orchestrator.grading.imported import from_json
from orchestrator.resources import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

SAMPLE_FIELDS = frozenset({"output_text", "output_json", "output_tools", "choices"})

_HOLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAMED = re.compile(r"\s*(item|sample)\.([A-Za-z_][\w-]*)([\w.\[\]'\"-]*)\s*")
_STEP = re.compile(r"[\w-]+")
# A name after braces that never close: the text would be compared as it stands.
_OPEN = re.compile(r"\{\{\s*(?:item|sample)\.[\w.]*")


def read_grader_to_send(path: Path, most_source_bytes: int) -> dict[str, Any]:
    """The grader in a file, or in a request body with a `grader` inside, if a provider takes it.

    Args:
        path: JSON.
        most_source_bytes: the largest source of a python grader.

    Raises:
        UsageError: not JSON, or a grader that would be refused.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}.", hint="--grader FILE.json") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    grader = plain.get("grader", plain) if isinstance(plain, dict) else plain
    _check_shape(grader, path)
    _check_parts(grader, path, most_source_bytes)
    return dict(grader)


def not_run_here(grader: Mapping[str, Any]) -> str | None:
    """Why `ftctl compare` could not run this grader; None when it could."""
    if any(part.get("type") == "python" for part in _each(grader)):
        # Loading one starts a process; what can be said of it was said when it was read.
        return None
    try:
        from_json(grader)
    except UsageError as error:
        return error.message
    return None


def columns_of(grader: Mapping[str, Any]) -> list[str]:
    """What of a row its templates name, sorted: a key, or `key.inner[0]`."""
    return sorted({name for space, name in _named(grader) if space == "item"})


def check_columns(columns: Sequence[str], lines: Iterable[bytes], source: str) -> None:
    """Every row must have every column, for a grader that finds none ends the job.

    Args:
        columns: what the grader's templates name.
        lines: the rows that will be uploaded, one JSON object each.
        source: the file's name, for the message.

    Raises:
        UsageError: a row lacks one.
    """
    for number, line in enumerate(lines, 1):
        row = json.loads(line)
        missing = [name for name in columns if not _has(row, name)]
        if missing:
            has = ", ".join(sorted(set(row) - {"messages", "tools"})) or "none besides messages"
            raise UsageError(
                f"The grader names {{{{item.{missing[0]}}}}}, and row {number} of {source} has no"
                f" '{missing[0]}' (its keys: {has}).",
                hint="name a key that every row has, or add it to the row",
            )


def _has(row: Any, name: str) -> bool:
    found = row
    for step in _STEP.findall(name):
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return False
    return True


def _check_shape(grader: Any, path: Path) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    if not isinstance(grader, dict):
        raise UsageError(f"{path}: a grader is a JSON object with a type.")
    kinds = schema("grader.openai.schema.json")["$defs"]
    for where, part in [("", grader), *_parts(grader)]:
        kind = part.get("type") if isinstance(part, dict) else None
        known = [name for name in kinds if not where or name != "multi"]
        if kind not in known:
            raise UsageError(
                f"{path}{where}: a grader of type '{kind}' is not known"
                f"{' inside a multi grader' if where else ''}.",
                hint=f"one of {', '.join(known)}",
            )
        error = best_match(Draft202012Validator(kinds[kind]).iter_errors(part))
        if error is not None:
            place = where + "".join(f"/{step}" for step in error.absolute_path)
            raise UsageError(f"{path}{place}: {error.message[:200]}.")


def _check_parts(grader: Mapping[str, Any], path: Path, most: int) -> None:
    for part in _each(grader):
        if part["type"] == "python":
            _check_source(part["source"], path, most)
        if part["type"] == "multi":
            Expression(str(part["calculate_output"]), _names(part))
    for text in _texts(grader):
        if never_closed := _OPEN.search(_HOLE.sub("", text)):
            raise UsageError(f"{path}: the template {never_closed.group()} is not closed by }}}}.")
    for hole in _holes(grader):
        named = _NAMED.fullmatch(hole)
        if named is None or (named[1] == "sample" and named[2] not in SAMPLE_FIELDS):
            raise UsageError(
                f"{path}: the template {{{{{hole}}}}} names nothing a grader is given.",
                hint="{{item.KEY}} of the row, or {{sample.output_text}}, output_json, output_tools",
            )


def _check_source(source: str, path: Path, most: int) -> None:
    size = len(source.encode("utf-8", "replace"))
    if size >= most:
        raise UsageError(
            f"{path}: the python grader has {size:,} bytes of source; it must stay below {most:,}."
        )
    try:
        with warnings.catch_warnings():
            # What Python thinks of its style is not our business.
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: the python grader does not parse: {error}.") from error
    grades = [node for node in tree.body if _is_grade(node)]
    if not grades:
        raise UsageError(
            f"{path}: the python grader defines no grade(sample, item).",
            hint="def grade(sample, item) -> float: ...",
        )


def _is_grade(node: ast.stmt) -> bool:
    if not isinstance(node, ast.FunctionDef) or node.name != "grade":
        return False
    return len(node.args.args) + len(node.args.posonlyargs) == 2 or node.args.vararg is not None


def _named(grader: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for hole in _holes(grader):
        found = _NAMED.fullmatch(hole)
        if found:
            yield found[1], found[2] + found[3]


def _holes(grader: Mapping[str, Any]) -> Iterator[str]:
    """What stands in double braces anywhere but in source code."""
    for text in _texts(grader):
        yield from _HOLE.findall(text)


def _texts(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, str) and key != "source":
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _each(grader: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield grader
    yield from (part for _, part in _parts(grader))


def _parts(grader: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The graders in a multi grader: one alone, as it is described, or many by name, as it is used."""
    given = grader.get("graders") if grader.get("type") == "multi" else None
    if not isinstance(given, dict):
        return []
    if isinstance(given.get("type"), str):
        return [("/graders", given)]
    return [(f"/graders/{name}", part) for name, part in given.items()]


def _names(multi: Mapping[str, Any]) -> list[str]:
    given = multi["graders"]
    return [given["name"]] if isinstance(given.get("type"), str) else list(given)
