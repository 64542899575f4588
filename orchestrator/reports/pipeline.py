"""The plan and the outcome of a spec: as Markdown, and as rows that a terminal lays out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.domain.jobs.job import knobs
from orchestrator.reports.words import dollars, harmless, points, signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def task_columns(summary: Mapping[str, Any]) -> list[str]:
    """The columns of the table: one for every arm that any task has."""
    return ["task", "metric", "rows", *_arm_names(summary), "tuned - best prompt", "verdict"]


def task_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """A row for each task."""
    return [_row(task, _arm_names(summary)) for task in summary["tasks"]]


def point_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """A row for each point of each sweep."""
    return [
        [
            task["name"],
            str(point["point"]),
            ", ".join(knobs(point["hyperparameters"])),
            point["status"] or "",
            "" if point["value"] is None else f"{point['value']:.4f}",
            "" if point["trained_tokens"] is None else f"{point['trained_tokens']:,}",
            _bill(point["usd"]),
            "chosen" if point["chosen"] else "",
        ]
        for task in summary["tasks"]
        for point in task["sweep"]
    ]


POINT_COLUMNS = ("task", "#", "hyperparameters", "status", "validation", "tokens", "cost", "")


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """What the table comes to, in words."""
    said = []
    if summary["measured"]:
        said.append(
            f"tuning won {summary['won']} of {summary['measured']} tasks "
            f"({summary['share']:.0%}) against the best prompt-only arm, or the source where one is"
            " named"
        )
    for task in summary["tasks"]:
        said += _against_mixed(task)
        said += [f"{task['name']}: {error['message']}" for error in task["errors"]]
        if not task["finished"]:
            said.append(f"{task['name']}: not finished; apply the file again")
    mixed = summary["mixed"]
    if mixed:
        said += [f"mixed: {message}" for message in mixed["errors"]]
    if summary["rule"]:
        said.append(f"sweeps choose by: {summary['rule']}")
    cost = summary["cost"]
    said.append(
        f"training: {cost['trained_tokens']:,} tokens, "
        + ("estimated at " if cost["training_usd"] else "")
        + _bill(cost["training_usd"])
    )
    return said


def to_markdown(summary: Mapping[str, Any]) -> str:
    """The summary as a page."""
    lines = [f"# {_cell(summary['name'])}", ""]
    lines += [f"{_cell(summary['model'])} on {_cell(summary['provider'])}", ""]
    lines += _table(task_columns(summary), task_rows(summary))
    if any(task["sweep"] for task in summary["tasks"]):
        lines += ["", "## Sweeps", "", *_table(POINT_COLUMNS, point_rows(summary))]
    lines += ["", *(f"- {_cell(sentence)}" for sentence in sentences(summary))]
    reports = [task for task in summary["tasks"] if task["report"]]
    if reports:
        lines += ["", "Reports: " + ", ".join(f"`{_cell(task['report'])}`" for task in reports)]
    return "\n".join(lines) + "\n"


def _bill(usd: float | None) -> str:
    return "no bill" if usd == 0 else dollars(usd)


def _row(task: Mapping[str, Any], arms: Sequence[str]) -> list[str]:
    scores = {arm["name"]: arm for arm in task["arms"]}
    cells = [
        f"{points(scores[name]['score'])} [{points(scores[name]['low'])}, "
        f"{points(scores[name]['high'])}]" + (" *" if name == task["best_prompt"] else "")
        if name in scores
        else ""
        for name in arms
    ]
    difference = task["difference"]
    told = (
        f"{signed(difference['diff'])} [{signed(difference['low'])}, {signed(difference['high'])}]"
        if difference
        else ""
    )
    status = task["status"] or "not started"
    verdict = task["verdict"] or ("trained" if status == "succeeded" else status)
    gate = {"failed": " (gate failed)", "passed": " (gate passed)"}.get(task["gate"], "")
    rows = "" if task["rows"] is None else str(task["rows"])
    return [task["name"], task["metric"] or "", rows, *cells, told, verdict + gate]


def _against_mixed(task: Mapping[str, Any]) -> list[str]:
    mixed = task["mixed"]
    if not mixed:
        return []
    said = [
        f"{task['name']}: mixed adapter {signed(mixed['difference']['diff'])} against "
        f"{mixed['difference']['baseline']}: {mixed['verdict']}"
    ]
    own = mixed["own_against_mixed"]
    if own:
        said.append(
            f"{task['name']}: own adapter {signed(own['diff'])} "
            f"[{signed(own['low'])}, {signed(own['high'])}] against the mixed one: {own['verdict']}"
        )
    return said


def _arm_names(summary: Mapping[str, Any]) -> list[str]:
    names = [arm["name"] for task in summary["tasks"] for arm in task["arms"]]
    return list(dict.fromkeys(names))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(_cell, columns)) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]


def _cell(text: object) -> str:
    return harmless(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
