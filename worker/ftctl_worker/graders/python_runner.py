"""Runs the ``grade`` of a python grader: one JSON line in, one out; started as a script of its own.

The limits are set here, before a line of the grader's is run. They keep a slip from harming the
server (memory, processor time, files, processes); they are no sandbox against somebody who means harm.
"""

from __future__ import annotations

import inspect
import json
import os
import resource
import sys
from typing import Any

_MIB = 1024 * 1024
_LIMITS = {
    resource.RLIMIT_AS: 512 * _MIB,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 16,
}


def main() -> None:
    """Load the source that the first line holds, then answer each further line."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for kind, most in _LIMITS.items():
        resource.setrlimit(kind, (most, most))

    def tell(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    space: dict[str, Any] = {"__name__": "grader"}
    try:
        exec(compile(json.loads(sys.stdin.readline()), "grader", "exec"), space)  # noqa: S102
        grade = space["grade"]
    except BaseException as error:  # noqa: BLE001 - whatever the code does
        tell(error=f"{type(error).__name__}: {error}"[:500])
        return
    tell(ready=True)
    for line in sys.stdin:
        try:
            tell(reward=_call(grade, json.loads(line)))
        except BaseException as error:  # noqa: BLE001 - whatever the code does
            tell(error=f"{type(error).__name__}: {error}"[:500])


def _call(grade: Any, fields: dict[str, Any]) -> float:
    # By name where they are the published ones, since both orders are seen in the wild.
    names = list(inspect.signature(grade).parameters)
    if set(names) == {"sample", "item"}:
        return float(grade(**fields))
    return float(grade(fields["sample"], fields["item"]))


if __name__ == "__main__":
    main()
