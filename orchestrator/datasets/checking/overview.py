"""What a file is as a whole: how its answers are spread, and which scripts it is written in."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.datasets.findings.finding import Flaw
from orchestrator.datasets.records import Assistant, Chat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.datasets.records import Row

#: Different answers from which on nobody takes them for classes, and no more are counted.
_MOST_COUNTED = 10_000
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

    def extend(self, rows: Sequence[Row]) -> None:
        """Take rows."""
        ends = [row.messages[-1] for row in rows if isinstance(row, Chat)]
        self.rows += len(ends)
        answers = [
            end.content
            for end in ends
            if isinstance(end, Assistant) and isinstance(end.content, str)
        ]
        odd = [text for text in answers if not (text[:1].isalpha() and text.isascii())]
        self._scripts["Latin"] += len(answers) - len(odd)
        self._scripts.update(map(script_of, odd))
        if self._task == "classification" and len(self._answers) <= _MOST_COUNTED:
            self._answers.update(text.strip()[: _LONGEST_CLASS + 1] for text in answers)

    def absorb(self, later: Overview) -> None:
        """Take in the part that comes after."""
        self.rows += later.rows
        self._scripts.update(later._scripts)
        self._answers.update(later._answers)

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
            many = f"over {_MOST_COUNTED:,}" if len(counted) > _MOST_COUNTED else len(counted)
            yield Flaw("answers-are-no-classes", "", {"answers": many})
            return
        yield Flaw("class-balance", "", {"classes": _shares(dict(counted[:20]), self.rows)})
        for answer, rows in counted:
            if rows < _RARE or rows < _LEAST_SHARE * self.rows:
                yield Flaw("class-rare", "", {"answer": repr(answer), "rows": rows})


def script_of(text: str) -> str:
    """The script that most letters at the start of a text are written in; empty for none."""
    start = text[:_LOOKED_AT]
    if start.isascii():
        return "Latin" if start[:1].isalpha() or any(map(str.isalpha, start)) else ""
    written = list(map(_SCRIPTS.__getitem__, start))
    scripts = sorted({*written} - {""})
    return max(scripts, key=written.count, default="")


class _Scripts(dict[str, str]):
    """The script of each letter, once it was asked for; no script for what is no letter."""

    def __missing__(self, letter: str) -> str:
        name = unicodedata.name(letter, "") if letter.isalpha() else ""
        word = name.split(" ", 1)[0].split("-", 1)[0]
        script = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana"}.get(word, word.capitalize())
        if len(self) < _MOST_LETTERS:
            self[letter] = script
        return script


_SCRIPTS, _MOST_LETTERS, _LOOKED_AT = _Scripts(), 1 << 14, 64


def _shares(counts: dict[str, int], total: int) -> str:
    return ", ".join(f"{name} {100 * rows / total:.1f} %" for name, rows in counts.items())
