"""From a document without mistakes to a spec: defaults filled in, paths made absolute."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.jobs.dataset import Split
from orchestrator.domain.jobs.job import Hyperparameters, Method
from orchestrator.domain.jobs.spec import (
    MIXED,
    CompareSpec,
    DataSpec,
    MixedSpec,
    Spec,
    SweepSpec,
    TaskSpec,
    own_options,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.specs.document import Document, Steps

# Arms whose argument is a path.
_RAG = "rag:"


def build(document: Document) -> Spec:
    """The spec of a document without mistakes."""
    top, folder = document.value, document.path.absolute().parent
    name = str(top.get("name") or _name_of(document.path))
    single = "tasks" not in top
    tasks = {name: top} if single else top["tasks"]
    return Spec(
        path=document.path,
        name=name,
        provider=top["provider"],
        model=_model(top["model"], folder),
        method=Method(top.get("method", Method.SUPERVISED)),
        tasks=[_task(each, table, top, folder) for each, table in tasks.items()],
        single=single,
        mixed=_mixed(top),
        max_cost=top.get("budget", {}).get("max_cost"),
        notes=top.get("notes", ""),
        reward=folder / top["reward"] if "reward" in top else None,
        metadata=top.get("metadata", {}),
        wandb=top.get("wandb", {}),
        training_type=top.get("training_type"),
        out=folder / top.get("out", f"ftctl-{name}"),
    )


def compare_steps(document: Document, task: str) -> Steps:
    """Where the comparison of a task stands: in the task, else at the top."""
    own: Steps = ("tasks", task, "compare")
    return own if own in document.values else ("compare",)


def task_steps(document: Document, task: str) -> Steps:
    """Where a task stands: the top for a single job."""
    return ("tasks", task) if ("tasks", task) in document.values else ()


def _task(name: str, table: Mapping[str, Any], top: Mapping[str, Any], folder: Path) -> TaskSpec:
    single = table is top
    compare = {**top.get("compare", {}), **table.get("compare", {})}
    wanted = "compare" in top or "compare" in table
    sweep = table.get("sweep", top.get("sweep"))
    return TaskSpec(
        name=name,
        data=_data(table["data"], folder),
        hyperparameters=_hyperparameters(top, table),
        own=own_options(own_options({}, top), table),
        suffix=table.get("suffix") or (None if single else _suffix(top, name)),
        seed=table.get("seed", top.get("seed")),
        compare=_compare(compare, folder) if wanted else None,
        sweep=sweep_of(sweep) if sweep else None,
        notes=table.get("notes", ""),
    )


def _mixed(top: Mapping[str, Any]) -> MixedSpec | None:
    asked = top.get("mixed", False)
    if asked is False:
        return None
    table = {} if asked is True else asked
    return MixedSpec(
        balance=table.get("balance", False),
        hyperparameters=_hyperparameters(top, table),
        own=own_options(own_options({}, top), table),
        suffix=table.get("suffix") or _suffix(top, MIXED),
        seed=table.get("seed", top.get("seed")),
    )


def _suffix(top: Mapping[str, Any], name: str) -> str:
    return f"{top['suffix']}-{name}" if "suffix" in top else name


def _hyperparameters(*tables: Mapping[str, Any]) -> Hyperparameters:
    chosen: dict[str, Any] = {}
    for table in tables:
        chosen |= table.get("hyperparameters", {})
    return Hyperparameters(**plain_point(chosen))


def plain_point(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters as values: `auto` is None."""
    return {name: None if value == "auto" else value for name, value in chosen.items()}


def _data(table: Mapping[str, Any], folder: Path) -> DataSpec:
    def file(key: str) -> Path | None:
        return (folder / Path(table[key]).expanduser()) if key in table else None

    if "file" not in table:
        return DataSpec(train=file("train"), validation=file("validation"), test=file("test"))
    split = table.get("split", {})
    rest = split.get("validation", 0) + split.get("test", 0)
    sizes = {
        Split.TRAIN: split.get("train", 1 - rest),
        Split.VALIDATION: split.get("validation", 0),
        Split.TEST: split.get("test", 0),
    }
    return DataSpec(
        whole=file("file"),
        sizes=sizes,
        seed=split.get("seed", 0),
        group_by=split.get("group_by"),
    )


def _compare(table: Mapping[str, Any], folder: Path) -> CompareSpec:
    values = dict(table)
    if "human" in values:
        values["human"] = folder / values["human"]
    for name in ("arms", "candidates"):
        values[name] = tuple(arm_from(arm, folder) for arm in values.get(name, ()))
    for name in ("baseline", "source"):
        if name in values:
            values[name] = arm_from(values[name], folder)
    if grader := values.get("grader"):
        values["grader"] = grader_from(grader, folder)
    return CompareSpec(**values)


def arm_from(name: str, folder: Path) -> str:
    """The arm with the path of its passages made absolute."""
    head, found, rest = name.partition(_RAG)
    if not found or (head and not head.endswith("+")):
        return name
    path, hosted, host = rest.partition("@")
    return f"{head}{_RAG}{folder / path}{hosted}{host}"


def grader_from(name: str, folder: Path) -> str:
    """The grader with the path of its file made absolute; others are names."""
    head, colon, argument = name.partition(":")
    if head in {"file", "json-schema", "python"} and argument:
        inner = folder / argument
        # A function stands after its file: python:score.py:grade.
        found = inner.exists() or (folder / argument.partition(":")[0]).exists()
        return f"{head}{colon}{inner}" if found else name
    return name


def sweep_of(table: Mapping[str, Any]) -> SweepSpec:
    """The points of a sweep: every combination of a grid, or those that are named."""
    grid = table.get("grid", {})
    points = (
        [
            dict(zip(grid, values, strict=True))
            for values in itertools.product(*(grid[key] for key in grid))
        ]
        if grid
        else table["points"]
    )
    return SweepSpec(
        points=[plain_point(point) for point in points],
        choose_by=table.get("choose_by", "validation_loss"),
    )


def _model(name: str, folder: Path) -> str:
    """A folder is relative to the file; everything else is a name."""
    looks_like_a_path = name.startswith(("./", "../"))
    return str((folder / name).resolve()) if looks_like_a_path else name


def _name_of(path: Path) -> str:
    plain = "".join(c if c.isalnum() and c.isascii() else "-" for c in path.stem.lower())
    return plain.strip("-")[:40] or "spec"
