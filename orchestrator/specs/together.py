"""What only several keys together can be wrong about: files and splits, sweeps, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.domain.jobs.dataset import Split
from orchestrator.domain.jobs.spec import MIXED
from orchestrator.specs.building import sweep_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.specs.document import Document, Mistake, Steps

_MOST_POINTS = 64


def mistakes_together(document: Document) -> list[Mistake]:
    """What only the keys together can be wrong about, in a document that the schema allows."""
    top = document.value
    found: list[Mistake] = []
    if "tasks" in top:
        if "data" in top:
            found.append(
                document.mistake_at_key(
                    ("data",), "`data` and `tasks` exclude each other.", "move data into each task"
                )
            )
        if MIXED in top["tasks"]:
            found.append(
                document.mistake_at_key(
                    ("tasks", MIXED), f"No task may be called '{MIXED}': the adapter over all is."
                )
            )
        for name, table in top["tasks"].items():
            found += _of_task(document, ("tasks", name), table, top)
    elif "data" not in top:
        found.append(document.mistake((), "It names no data.", "data: {train: train.jsonl}"))
    else:
        found += _of_task(document, (), top, top)
    return found + _of_mixed(document, top)


def _of_mixed(document: Document, top: Mapping[str, Any]) -> list[Mistake]:
    if not top.get("mixed"):
        return []
    if len(top.get("tasks", {})) < 2:
        return [document.mistake_at_key(("mixed",), "`mixed` needs two tasks at least.")]
    return []


def _of_task(
    document: Document, steps: Steps, table: Mapping[str, Any], top: Mapping[str, Any]
) -> list[Mistake]:
    found = _of_data(document, (*steps, "data"), table["data"])
    compare = {**top.get("compare", {}), **table.get("compare", {})}
    here: Steps = (*steps, "compare") if "compare" in table else ("compare",)
    has = _splits(table["data"])
    if ("compare" in top or "compare" in table) and Split.TEST not in has:
        found.append(
            document.mistake((*steps, "data"), "A comparison needs test rows.", "test: test.jsonl")
        )
    if "task" in compare and "grader" in compare:
        found.append(
            document.mistake_at_key(
                (*here, "task"), "`task` and `grader` both choose a grader; keep one."
            )
        )
    if "source" in compare and "margin" not in compare:
        found.append(
            document.mistake_at_key((*here, "source"), "`source` needs a margin.", "margin: 3")
        )
    if "source" in compare and "baseline" in compare:
        found.append(
            document.mistake_at_key(
                (*here, "baseline"),
                "`source` and `baseline` both name what the verdict is about; keep one.",
            )
        )
    sweep = table.get("sweep", top.get("sweep"))
    if sweep:
        at: Steps = (*steps, "sweep") if "sweep" in table else ("sweep",)
        found += _of_sweep(document, at, sweep, has)
    return found


def _of_sweep(
    document: Document, steps: Steps, sweep: Mapping[str, Any], has: set[Split]
) -> list[Mistake]:
    if ("grid" in sweep) == ("points" in sweep):
        return [
            document.mistake_at_key(
                steps, "A sweep takes a grid or points, one of them.", "grid: {n_epochs: [1, 3]}"
            )
        ]
    found = []
    if Split.VALIDATION not in has:
        found.append(
            document.mistake_at_key(
                steps,
                "A sweep chooses on validation rows, and there are none; test rows never choose.",
                "data: {validation: validation.jsonl}",
            )
        )
    if len(sweep_of(sweep).points) > _MOST_POINTS:
        found.append(
            document.mistake_at_key(
                steps, f"These are {len(sweep_of(sweep).points)} jobs; {_MOST_POINTS} are the most."
            )
        )
    return found


def _of_data(document: Document, steps: Steps, data: Mapping[str, Any]) -> list[Mistake]:
    files = [key for key in ("train", "validation", "test") if key in data]
    if "file" in data:
        if files:
            return [
                document.mistake_at_key(
                    (*steps, files[0]),
                    f"`file` and `{files[0]}` exclude each other.",
                    "either file and split, or a file for each split",
                )
            ]
        if "split" not in data:
            return [
                document.mistake(
                    steps, "`file` needs a split.", "split: {validation: 0.1, test: 0.1}"
                )
            ]
        split = data["split"]
        rest = split.get("validation", 0) + split.get("test", 0)
        if "train" not in split and rest >= 1:
            return [
                document.mistake(
                    (*steps, "split"), "Numbers of rows need train as well.", "train: 1000"
                )
            ]
        return []
    if "split" in data:
        return [
            document.mistake_at_key(
                (*steps, "split"), "`split` cuts `file`; name it.", "file: all.jsonl"
            )
        ]
    if "train" not in data:
        return [document.mistake(steps, "It names no training rows.", "train: train.jsonl")]
    return []


def _splits(data: Mapping[str, Any]) -> set[Split]:
    given = data.get("split", {}) if "file" in data else data
    return {split for split in Split if given.get(split.value)}
