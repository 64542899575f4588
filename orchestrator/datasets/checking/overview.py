"""What a file is as a whole: how its answers are spread, and which scripts it is written in."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import Assistant, Chat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.datasets.records import Row

#: Rows that are looked at; the first ones tell enough.
LOOKED_AT = 20_000
_MOST_CLASSES, _LONGEST_CLASS = 200, 100
_RARE, _LEAST_SHARE = 5, 0.01
_MINORITY = 0.001


class Overview:
    """Adds up answers and scripts as rows come."""

    def __init__(self, task: str | None = None) -> None:
        """Start empty.

        Args:
            task: classification also tells how often each answer is given.
        """
        self._task = task
        self._answers: Counter[str] = Counter()
        self._scripts: Counter[str] = Counter()
        self.rows = 0

    def add(self, row: Row) -> None:
        """Take a row."""
        if self.rows >= LOOKED_AT or not isinstance(row, Chat):
            return
        self.rows += 1
        last = row.messages[-1]
        if not isinstance(last, Assistant) or not isinstance(last.content, str):
            return
        self._scripts[script_of(last.content)] += 1
        if self._task == "classification":
            self._answers[last.content.strip()[: _LONGEST_CLASS + 1]] += 1

    def flaws(self) -> Iterator[Flaw]:
        """What is worth knowing of the file as a whole."""
        if self._answers:
            yield from self._classes()
        self._scripts.pop("", None)
        spoken = {
            script: rows
            for script, rows in self._scripts.most_common()
            if rows >= max(2, _MINORITY * self.rows)
        }
        if len(spoken) > 1:
            yield Flaw("language-mix", "", {"mix": _shares(spoken, sum(spoken.values()))})

    def _classes(self) -> Iterator[Flaw]:
        counted = self._answers.most_common()
        if len(counted) > _MOST_CLASSES or max(map(len, self._answers)) > _LONGEST_CLASS:
            yield Flaw("answers-are-no-classes", "", {"answers": len(counted)})
            return
        yield Flaw("class-balance", "", {"classes": _shares(dict(counted[:20]), self.rows)})
        for answer, rows in counted:
            if rows < _RARE or rows < _LEAST_SHARE * self.rows:
                yield Flaw("class-rare", "", {"answer": repr(answer), "rows": rows})


def script_of(text: str) -> str:
    """The script that most letters at the start of a text are written in; empty for none."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text[:200])) else ""
    letters = Counter(_script(letter) for letter in text[:200] if letter.isalpha())
    return letters.most_common(1)[0][0] if letters else ""


@functools.lru_cache(maxsize=1 << 14)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "").split(" ", 1)[0].split("-", 1)[0]
    return {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana"}.get(name, name.capitalize())


def _shares(counts: dict[str, int], total: int) -> str:
    return ", ".join(f"{name} {100 * rows / total:.1f} %" for name, rows in counts.items())
