"""From a document that the schema allows to a spec; what only the keys together can be wrong about."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.dataset import Split
from orchestrator.domain.job import Hyperparameters, Method
from orchestrator.domain.spec import (
    MIXED,
    CompareSpec,
    DataSpec,
    MixedSpec,
    Spec,
    SweepSpec,
    TaskSpec,
)
from orchestrator.specs.checking import schema_mistakes
from orchestrator.specs.document import Document, Mistake, SpecInvalid, Steps
from orchestrator.specs.reading import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_POINTS = 64
# Arms whose argument is a path.
_RAG = "rag:"


def read_spec(path: Path) -> tuple[Document, Spec]:
    """A spec file, read and checked as far as no data and no provider is needed.

    Raises:
        SpecInvalid: all mistakes at once.
        UsageError: there is no such file, or it cannot be a spec.
    """
    document = read_document(path)
    mistakes = [*document.mistakes]
    if document.value is not None:
        told = {mistake.steps for mistake in mistakes}
        mistakes += [each for each in schema_mistakes(document) if each.steps not in told]
    if not mistakes:
        mistakes += _together(document)
    if mistakes:
        raise SpecInvalid(path, sorted(mistakes, key=lambda m: m.place or (0, 0)))
    return document, build(document)


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
        lora={**top.get("lora", {}), **table.get("lora", {})},
        suffix=table.get("suffix") or (None if single else _suffix(top, name)),
        seed=table.get("seed", top.get("seed")),
        compare=_compare(compare, folder) if wanted else None,
        sweep=_sweep(sweep) if sweep else None,
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
        lora={**top.get("lora", {}), **table.get("lora", {})},
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
    values["arms"] = tuple(_arm(arm, folder) for arm in values.get("arms", ()))
    if grader := values.get("grader"):
        values["grader"] = _grader(grader, folder)
    return CompareSpec(**values)


def _arm(name: str, folder: Path) -> str:
    """The arm with the path of its passages made absolute."""
    head, found, rest = name.partition(_RAG)
    if not found or (head and not head.endswith("+")):
        return name
    path, hosted, host = rest.partition("@")
    return f"{head}{_RAG}{folder / path}{hosted}{host}"


def _grader(name: str, folder: Path) -> str:
    """The grader with the path of its file made absolute; others are names."""
    head, colon, argument = name.partition(":")
    if head in {"file", "json-schema", "python"} and argument:
        inner = folder / argument
        # A function stands after its file: python:score.py:grade.
        found = inner.exists() or (folder / argument.partition(":")[0]).exists()
        return f"{head}{colon}{inner}" if found else name
    return name


def _sweep(table: Mapping[str, Any]) -> SweepSpec:
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


def _together(document: Document) -> list[Mistake]:
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
    if len(_sweep(sweep).points) > _MOST_POINTS:
        found.append(
            document.mistake_at_key(
                steps, f"These are {len(_sweep(sweep).points)} jobs; {_MOST_POINTS} are the most."
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
