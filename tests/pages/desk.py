"""What lies on the reader's desk before a page begins: the files that the pages name."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.datasets.demo_tasks import TASKS
from orchestrator.domain.jobs.dataset import Split
from orchestrator.resources import data

GRADER = {
    "type": "string_check",
    "name": "right",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
ROWS = {Split.TRAIN: 40, Split.VALIDATION: 12, Split.TEST: 20}


def lay(folder: Path) -> None:
    """Tickets, cut in three; and one small file of each other kind."""
    folder.mkdir(parents=True)
    everything = []
    for split, path in TASKS["tickets"].write(folder / "raw", seed=3).items():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[: ROWS[split]]
        everything += lines
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "data.jsonl").write_text("".join(everything), encoding="utf-8")
    sms = data("sms_spam.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "messages.tsv").write_text("".join(sms), encoding="utf-8")
    _lines(folder / "pairs.jsonl", [_pair(number) for number in range(12)])
    _lines(folder / "questions.jsonl", [_question(number) for number in range(12)])
    _lines(folder / "preferences.json", [_preference(number) for number in range(12)])
    _lines(folder / "tasks.jsonl", [_task(number) for number in range(12)])
    _lines(folder / "held.jsonl", [_task(number) for number in range(12, 18)])
    _lines(folder / "grader.json", [GRADER])
    _lines(folder / "sharegpt.json", [_conversation(number) for number in range(12)])
    _lines(folder / "label-studio.json", [_labelled(number) for number in range(12)])


def _pair(number: int) -> object:
    asked = [{"role": "user", "content": f"What is {number} plus one?"}]
    good, bad = str(number + 1), f"Perhaps {number + 2}"
    return {
        "input": {"messages": asked},
        "preferred_output": [{"role": "assistant", "content": good}],
        "non_preferred_output": [{"role": "assistant", "content": bad}],
    }


def _question(number: int) -> object:
    return {"question": f"What is {number} plus three?", "answer": str(number + 3)}


def _task(number: int) -> object:
    asked = [{"role": "user", "content": f"What is {number} plus five?"}]
    return {"messages": asked, "answer": str(number + 5)}


def _preference(number: int) -> object:
    asked = f"What is {number} plus four?"
    return {"prompt": asked, "chosen": str(number + 4), "rejected": f"Perhaps {number}"}


def _conversation(number: int) -> object:
    return {
        "conversations": [
            {"from": "human", "value": f"What is {number} plus two?"},
            {"from": "gpt", "value": str(number + 2)},
        ]
    }


def _labelled(number: int) -> object:
    choice = {"type": "choices", "value": {"choices": ["yes" if number % 2 else "no"]}}
    return {"data": {"text": f"Number {number}, please."}, "annotations": [{"result": [choice]}]}


def _lines(path: Path, rows: list[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
