"""Write docs/errors.md, every error of the program with its mend, or check it (`--check`).

Read from the source: each place that raises one of the program's errors with a sentence and a hint.
What a place fills in is shown as its name, in angle brackets.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain import errors
from orchestrator.domain.errors import ExitCode, FtctlError

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parent
TARGET = DOCS / "errors.md"
PACKAGES = (DOCS.parent / "orchestrator", DOCS.parent / "providers")
HEAD = """\
# Errors and their mends

Made by `make format` from the program itself: every sentence that ends a command, with the line that ftctl prints below it
as `try:`. What stands in ⟨brackets⟩ is filled in. Errors *in a dataset* have codes and a page of their own:
[findings](findings.md). A traceback is a bug; `FTCTL_DEBUG=1` prints it.

## Asked most

**A job is `unknown`. Was I billed?** The request left and no clear answer came. Type `ftctl sync`: it looks for the job by its token and
settles it; do not submit again ([why](reliability.md)).

**A job says `needs_review`.** ftctl found what it must not decide alone. `ftctl status JOB` shows it, with the `ftctl resolve` line that
settles it.

**`ftctl sync` prints nothing.** Nothing changed. `ftctl sync --json` says how many jobs were asked about.

**Exit code 10 is not an error.** The rows do not decide. More test rows do; `ftctl compare` says how many.

**The same training is refused as done already.** It is the same data, model and settings within 24 hours: `--again` if you mean it.

**403 `training_not_available` at OpenAI.** The account may train no more: `ftctl evacuate`, then [the way out](leaving-openai.md).

**It asks, and there is nobody to answer.** In scripts say `--yes`, or give the value as an argument.
"""


@dataclass(frozen=True, order=True)
class Told:
    """One sentence and its mend, as a class of error tells it."""

    message: str
    hint: str


def page() -> str:
    """The whole page, by exit code and class."""
    told = _all_told()
    lines = [HEAD]
    for kind in sorted(_classes(), key=lambda one: (one.exit_code, one.__name__)):
        if kind is FtctlError:
            continue
        lines += [f"## {kind.__name__}", "", f"{_sentence(kind)} {_behaviour(kind)}", ""]
        rows = sorted(told.get(kind.__name__, set()))
        if rows:
            lines += ["| what it says | what to do |", "|---|---|"]
            lines += [f"| {_cell(row.message)} | {_cell(row.hint) or ' '} |" for row in rows]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _classes() -> list[type[FtctlError]]:
    found = [one for one in vars(errors).values() if isinstance(one, type)]
    return [one for one in found if issubclass(one, FtctlError)]


def _sentence(kind: type[FtctlError]) -> str:
    return (kind.__doc__ or "").strip().split("\n", maxsplit=1)[0]


def _behaviour(kind: type[FtctlError]) -> str:
    again = "; trying again later helps" if kind.transient else ""
    return f"Exit code {int(kind.exit_code)}, {ExitCode(kind.exit_code).name.lower()}{again}."


def _all_told() -> dict[str, set[Told]]:
    names = {kind.__name__ for kind in _classes()}
    told: dict[str, set[Told]] = {}
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for name, one in _told(node, names):
                    told.setdefault(name, set()).add(one)
    return told


def _told(node: ast.AST, names: set[str]) -> Iterator[tuple[str, Told]]:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return
    if node.func.id not in names or not node.args:
        return
    message = _text(node.args[0])
    hint = next((_text(each.value) for each in node.keywords if each.arg == "hint"), None)
    if message and message[0] != "⟨":
        yield node.func.id, Told(message, hint or "")


def _text(node: ast.expr) -> str | None:
    """A sentence of the source, with names in the place of what is computed."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return f"⟨{_name(node.value)}⟩"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (_text(node.left) or "") + (_text(node.right) or "")
    return None


def _name(node: ast.expr) -> str:
    named = [each for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute)]
    last = named[0] if named else None
    word = last.attr if isinstance(last, ast.Attribute) else getattr(last, "id", "value")
    return str(word).strip("_").replace("_", " ")


def _cell(text: str) -> str:
    flat = " ".join(text.split())
    for mark, safe in (("|", "\\|"), ("<", "&lt;"), ("*", "\\*"), ("[", "\\["), ("`", "'")):
        flat = flat.replace(mark, safe)
    return flat


def main() -> int:
    """Write or check; the exit code says whether the page is the program's own."""
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page(), encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write("docs/errors.md is not what the program says; run: make format\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
