"""Runs a person's grading function in a process of its own: one JSON line in, one out.

Started by `orchestrator.grading.function` as a script, isolated from the environment; it imports
nothing of ftctl. What the function prints goes nowhere, so that it cannot break the protocol.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Load the function that the first line names, then answer each further line."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def tell(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    try:
        function = _load(json.loads(sys.stdin.readline()))
    except BaseException as error:  # noqa: BLE001 - whatever a person's file does at import
        tell(error=f"{type(error).__name__}: {error}")
        return
    tell(ready=True)
    for line in sys.stdin:
        try:
            tell(value=_call(function, json.loads(line)))
        except BaseException as error:  # noqa: BLE001 - whatever a person's function does
            tell(error=f"{type(error).__name__}: {error}")


def _load(what: dict[str, Any]) -> Any:
    name = what["function"]
    space: dict[str, Any] = {"__name__": "grader"}
    source, path = what.get("source"), what.get("path")
    if path is not None:
        source = Path(path).read_text(encoding="utf-8")
        sys.path.insert(0, str(Path(path).resolve().parent))
    exec(compile(str(source), path or "grader.json", "exec"), space)  # noqa: S102 - a person's own code
    return space[name]


def _call(function: Any, given: dict[str, Any]) -> float | None:
    # By name where the names are known, so that (item, sample) works as well as (sample, item).
    names = list(inspect.signature(function).parameters)
    known = {
        **given,
        "output": given["sample"]["output_text"],
        "answer": given["sample"]["output_text"],
    }
    known["reference"] = given["item"].get("reference")
    if all(name in known for name in names):
        value = function(**{name: known[name] for name in names})
    else:
        value = function(given["sample"], given["item"])
    return None if value is None else float(value)


if __name__ == "__main__":
    main()
