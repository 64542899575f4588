"""Several rows looked at together are judged as one by one."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest

from orchestrator.datasets.checking.checks import Checks
from orchestrator.datasets.checking.limits import limits_of
from orchestrator.datasets.checking.reader import RowReader
from orchestrator.datasets.checking.scanning import Scan
from orchestrator.datasets.checking.validation import Validation, validate
from orchestrator.domain.jobs.job import Method

TEXTS = [
    "Hi",
    'say "yes": no',
    "line\nline",
    "你好：",
    "é",
    "\\",
    "😀",
    "a:b",
    "\t tab ",
    "\u3000x",
]
BAD_TEXTS = ["", " ", "\n", "\u3000", "\xa0 "]


def rows(many: int, seed: int, *, bad: float = 0.0) -> bytes:
    chance = random.Random(seed)
    lines = []
    for _ in range(many):
        pick = BAD_TEXTS if chance.random() < bad else TEXTS
        messages: list[dict[str, Any]] = []
        if chance.random() < 0.5:
            role = chance.choice(["system", "developer"])
            messages.append({"role": role, "content": chance.choice(TEXTS)})
        for _ in range(chance.randint(1, 3)):
            messages.append({"role": "user", "content": chance.choice(TEXTS)})
            messages.append({"role": "assistant", "content": chance.choice(pick)})
        if chance.random() < bad:
            chance.shuffle(messages)
        compact = (",", ":") if chance.random() < 0.3 else (", ", ": ")
        line = json.dumps(
            {"messages": messages}, ensure_ascii=chance.random() < 0.5, separators=compact
        )
        if chance.random() < bad:
            line = line.replace('"role"', '"role":"user","role"', 1)
        if chance.random() < bad:
            line = line.replace('"content"', '"name": "x", "content"', 1)
        lines.append(line + chance.choice(["\n", "\n", "\n", "\r\n", " \n"]))
    return "".join(lines).encode()


def form(content: bytes) -> Validation:
    return validate(io.BytesIO(content), target="peft", count_tokens=False, content=False)


@pytest.mark.parametrize("seed", range(12))
def test_form_alone_finds_what_the_rules_find(seed: int) -> None:
    content = rows(300, seed, bad=0.02 * (seed % 4))
    together = form(content)
    reader = RowReader(Method.SUPERVISED, limits_of("peft"), content=False)
    alone = Scan(Checks(target="peft", count_tokens=False, content=False))
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        alone.report(number, reader.read(line).flaws, line)
    wanted = {(each.line, each.code, each.pointer) for each in alone.done.collector.kept}
    found = {(each.line, each.code, each.pointer) for each in together.findings if each.line}
    assert found == wanted
    assert together.rows == 300


@pytest.mark.parametrize("spaced", [True, False])
@pytest.mark.parametrize(
    "key", ['"role":"user",', '"content":"x",', '"content": "", ', '"name":"",']
)
def test_a_key_too_many_is_seen_among_good_rows(key: str, spaced: bool) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    good = json.dumps(row, separators=separators)
    lines = [good] * 40
    lines[17] = good.replace('{"role"', "{" + key + '"role"', 1)
    verdict = form("\n".join(lines).encode() + b"\n")
    assert {each.line for each in verdict.findings if each.line} == {18}


def test_line_ends_are_counted_exactly() -> None:
    good = b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}'
    assert "mixed-line-ends" in form((good + b"\n") * 50 + good + b"\r\n").counts
    assert "crlf-line-ends" in form((good + b"\r\n") * 50).counts
    assert not form((good + b"\n") * 50 + good).counts
