"""A page of the docs as a list of steps: what a reader would type, and what would be seen.

Blocks marked `console` are transcripts (`$ command`, then what it prints); blocks marked `sh` are
commands alone. An HTML comment right before a block says what the test does with it:

    <!-- file: NAME -->         the block is the content of that file
    <!-- not run: REASON -->    the block cannot run here; it is counted and listed
    <!-- exits: compare 10 -->  what commands of this block say on the data of the test
    <!-- first: COMMAND -->     run before, unseen by the reader
    <!-- simulated: openai -->  from here on a simulated account answers for that profile
    <!-- used: openai -->       that account has a tuned model that this ledger does not know
    <!-- trains: WHAT -->       the page trains on the embedded worker: a test of its own

A comment behind a command may end with its exit code: `# exit 1`, `# refused: exit 1 or 2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("console", "sh")
_FENCE = re.compile(r"^( *)(`{3,})(\w*)\s*$")
_COMMENT = re.compile(
    r"<!--\s*(file|not run|exits|first|simulated|used|trains):\s*(.*?)\s*-->", re.DOTALL
)
_BEHIND = re.compile(r"\s#\s.*$")
_CODES = re.compile(r"\s#.*\bexit ((?:\d+(?:, | or )?)+)$", re.MULTILINE)
_HEREDOC = re.compile(r"<<\s*'?(\w+)'?")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One thing that is typed: `expected` is None where the page shows no output."""

    line: int
    text: str
    codes: frozenset[int] = frozenset({0})
    expected: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block, with what the comment before it says."""

    line: int
    language: str
    body: tuple[str, ...]
    file: str | None = None
    not_run: str | None = None
    exits: str = ""

    @property
    def runs(self) -> bool:
        return self.language in COMMANDS and self.not_run is None and self.file is None

    def commands(self) -> list[Command]:
        split = _transcript if self.language == "console" else _script
        usual = {verb: int(code) for verb, code in re.findall(r"(\w+) (\d+)", self.exits)}
        return [_exiting(command, usual) for command in split(self.body, self.line + 1)]


@dataclass(frozen=True, kw_only=True)
class Directive:
    """A comment that is no block: `first`, `simulated` or `trains`."""

    line: int
    kind: str
    text: str


@dataclass
class Page:
    """What a file of the docs says, in its order."""

    name: str
    steps: list[Block | Directive] = field(default_factory=list)

    @property
    def blocks(self) -> list[Block]:
        return [step for step in self.steps if isinstance(step, Block)]

    @property
    def runs(self) -> bool:
        return any(block.runs for block in self.blocks)

    @property
    def trains(self) -> bool:
        """Whether the embedded worker is needed: minutes, where the simulator takes none."""
        return any(isinstance(step, Directive) and step.kind == "trains" for step in self.steps)


def pages() -> list[Page]:
    """Every page that a reader sees, in a fixed order; the generated ones hold no commands to run."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "worker" / "README.md"]
    found += sorted((ROOT / "docs").rglob("*.md"))
    return [read(path, path.relative_to(ROOT).as_posix()) for path in found]


def read(path: Path, name: str = "") -> Page:
    """Split a page into blocks and comments, in their order."""
    page, pending = Page(name or path.name), dict[str, str]()
    lines = path.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        opened = _FENCE.match(lines[at])
        if opened:
            body, end = _body(lines, at, opened)
            page.steps.append(_block(at + 1, opened.group(3), body, pending))
            pending, at = {}, end
        elif lines[at].lstrip().startswith("<!--"):
            comment, end = _whole_comment(lines, at)
            _take(page, at + 1, comment, pending)
            at = end
        at += 1
    return page


def _body(lines: list[str], at: int, opened: re.Match[str]) -> tuple[tuple[str, ...], int]:
    indent, fence = len(opened.group(1)), opened.group(2)
    end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == fence)
    return tuple(line[indent:] for line in lines[at + 1 : end]), end


def _block(line: int, language: str, body: tuple[str, ...], pending: dict[str, str]) -> Block:
    return Block(
        line=line,
        language=language,
        body=body,
        file=pending.get("file"),
        not_run=pending.get("not run"),
        exits=pending.get("exits", ""),
    )


def _whole_comment(lines: list[str], at: int) -> tuple[str, int]:
    end = next(i for i in range(at, len(lines)) if "-->" in lines[i])
    return "\n".join(lines[at : end + 1]), end


def _take(page: Page, line: int, comment: str, pending: dict[str, str]) -> None:
    found = _COMMENT.search(comment)
    if found is None:
        return
    kind, text = found.groups()
    if kind in {"file", "not run", "exits"}:
        pending[kind] = text
    else:
        page.steps.append(Directive(line=line, kind=kind, text=text))


def _transcript(body: tuple[str, ...], line: int) -> Iterator[Command]:
    at = 0
    while at < len(body):
        assert body[at].startswith("$ "), f"line {line + at}: a transcript starts with '$ '"
        typed, after = _typed(body, at, 2)
        shown = after
        while shown < len(body) and not body[shown].startswith("$ "):
            shown += 1
        expected = body[after:shown]
        yield _command(line + at, typed, expected or None)
        at = shown


def _script(body: tuple[str, ...], line: int) -> Iterator[Command]:
    at = 0
    while at < len(body):
        if not body[at].strip() or body[at].startswith("#"):
            at += 1
            continue
        typed, after = _typed(body, at, 0)
        yield _command(line + at, typed, None)
        at = after


def _typed(body: tuple[str, ...], at: int, prompt: int) -> tuple[str, int]:
    """The command with the lines that continue it, and where the next thing starts."""
    taken, after = [body[at][prompt:]], at + 1
    here = _HEREDOC.search(taken[0])
    while after < len(body) and (here or taken[-1].rstrip().endswith("\\")):
        taken.append(body[after])
        after += 1
        if here and taken[-1] == here.group(1):
            break
    return "\n".join(taken), after


def _command(line: int, typed: str, expected: tuple[str, ...] | None) -> Command:
    first, *rest = typed.split("\n")
    named = _CODES.search(typed)
    codes = frozenset(map(int, re.findall(r"\d+", named.group(1)))) if named else frozenset({0})
    text = (
        typed if rest and "<<" in first else "\n".join(_BEHIND.sub("", x) for x in (first, *rest))
    )
    return Command(line=line, text=text.strip(), codes=codes, expected=expected)


def _exiting(command: Command, usual: dict[str, int]) -> Command:
    verb = command.text.removeprefix("ftctl ").split(maxsplit=1)[0]
    return replace(command, codes=frozenset({usual[verb]})) if verb in usual else command
