"""The demo's tasks: raw files as a team would have them, and how they become chat rows."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from orchestrator.datasets.converting import convert_file
from orchestrator.datasets.dialects.conversion import Options
from orchestrator.datasets.files.tabular import Templates
from orchestrator.datasets.tickets import tickets
from orchestrator.domain.jobs.dataset import Split
from orchestrator.resources import data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DemoTask:
    """A labelling task.

    Attributes:
        title: one line for a person.
        system: the instruction every arm gets.
        rows: from a seed to (text, label) by split.
    """

    title: str
    system: str
    rows: Callable[[int], Mapping[Split, Sequence[tuple[str, str]]]]

    def write(self, folder: Path, seed: int) -> dict[Split, Path]:
        """Write each split as CSV, convert it to chat JSONL, and return the JSONL files."""
        folder.mkdir(parents=True, exist_ok=True)
        templates = Templates(user="{text}", assistant="{label}", system=self.system)
        files = {}
        for split, rows in self.rows(seed).items():
            raw, files[split] = folder / f"{split}.csv", folder / f"{split}.jsonl"
            with raw.open("w", encoding="utf-8", newline="") as stream:
                csv.writer(stream).writerows([("text", "label"), *rows])
            convert_file(raw, files[split], Options(), templates=templates, force=True)
        return files


def _tickets(seed: int) -> Mapping[Split, Sequence[tuple[str, str]]]:
    made = tickets(seed)
    return {
        split: [_text_and_label(row["messages"]) for row in getattr(made, split)] for split in Split
    }


def _text_and_label(messages: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    return messages[-2]["content"], messages[-1]["content"]


def _spam(seed: int) -> Mapping[Split, Sequence[tuple[str, str]]]:
    with data("sms_spam.tsv").open(encoding="utf-8", newline="") as stream:
        lines = [line.rstrip("\n").split("\t", 1) for line in stream]
    rows = [(text, label) for label, text in lines]
    Random(seed).shuffle(rows)
    return {
        Split.TRAIN: rows[:120],
        Split.VALIDATION: rows[120:140],
        Split.TEST: rows[140:240],
    }


TICKET_LABELS = ("billing", "shipping", "returns", "account", "technical", "cancellation")
TASKS: Mapping[str, DemoTask] = {
    "tickets": DemoTask(
        title="support tickets, six labels; test rows use phrases that training never saw",
        system="You sort support tickets. Answer with exactly one of these labels: "
        + ", ".join(TICKET_LABELS)
        + ".",
        rows=_tickets,
    ),
    "spam": DemoTask(
        title="real SMS messages, ham or spam, as many of each",
        system="Is this SMS message spam? Answer with exactly one word: ham or spam.",
        rows=_spam,
    ),
}
