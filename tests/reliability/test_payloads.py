"""Eight hundred payloads at the doors that data leaves by: shown, and obeyed by nobody.

A payload is an attack in a wrapping. Each of them goes through the one function of its door: markup of pages
and reports, text for a terminal, cells for a spreadsheet, and values of a spec file.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

from orchestrator.cli.output import printable
from orchestrator.domain.errors import FtctlError
from orchestrator.reports.terminal import plain
from orchestrator.specs.reading import read_document
from orchestrator.ui.markup import h
from orchestrator.usecases.comparing.rows import to_csv

WRAPPINGS = (
    "{}", "a{}", "{}b", "'{}", '"{}', "`{}`", "</td>{}", "-->{}", "]]>{}", "\n{}", "\t{}", "\r\n{}", " {}",
    "</title></style></textarea>{}", "\\u003c{}", "&lt;{}", "\x00{}", "\ufeff{}", "\u202e{}", "%3C{}",
)  # fmt: skip
ATTACKS = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "javascript:alert(1)",
    "\"><iframe srcdoc='<script>alert(1)</script>'>", "' onmouseover='alert(1)", "<a href=data:text/html,x>y</a>",
    "<style>*{background:url(//x)}</style>", "<base href=//evil>", "<meta http-equiv=refresh content=0>",
    "\x1b]0;owned\x07", "\x1b[2J", "\x1b[31m", "\x9b31m", "\x1b]8;;http://evil\x1b\\link", "\x1bP1$r\x1b\\",
    "\x08\x08\x08forged", "\u2028forged", "\u2066evil\u2069", "[bold]x[/bold]", "[/nothing]", "\x7f",
    "=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(A1)", "=HYPERLINK(\"http://evil\")", "\t=1+1", "\r=1+1",
    "../../etc/passwd", "..\\..\\windows", "/etc/passwd", "file:///etc/passwd", "~/.ssh/id_rsa", "$(id)", "; rm -rf /",
    "!!python/object/apply:os.system ['id']", "*alias", "{{7*7}}", "${jndi:ldap://x}",
)  # fmt: skip
PAYLOADS = [w.format(a) for w, a in itertools.product(WRAPPINGS, ATTACKS)]
FORMULA = tuple("=+-@\t\r\x00")


class Seen(HTMLParser):
    """What a browser would make of markup."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names += [name for name, _ in attrs]


def test_there_are_enough_of_them():
    assert len(set(PAYLOADS)) >= 500


def test_in_markup_they_are_text():
    for payload in PAYLOADS:
        seen = Seen(h("p", payload, title=payload))
        assert (seen.tags, seen.names) == (["p"], ["title"]), repr(payload)
    control = Seen(f"<p title='x'>{PAYLOADS[0]}</p>")
    assert control.tags == ["p", "script"], "the parser would not have noticed"


def test_a_terminal_shows_them_on_one_line():
    for payload in PAYLOADS:
        for shown in (printable(payload.replace("\n", "").replace("\t", "")), plain(payload)):
            obeyed = [c for c in shown if unicodedata.category(c) in {"Cc", "Zl", "Zp"}]
            turned = [c for c in shown if "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"]
            assert not obeyed, repr(payload)
            assert not turned, repr(payload)


def test_a_spreadsheet_takes_them_for_text():
    for payload in PAYLOADS:
        answer = {"text": payload, "score": None}
        row = {"row": 1, "slice": payload, "outcome": None, "asked": payload, "reference": payload}
        cells = next(itertools.islice(csv.reader(io.StringIO(to_csv([{**row, "answers": {"a": answer}}]))), 1, 2))  # fmt: skip
        assert not [cell for cell in cells if cell.startswith(FORMULA)], repr(payload)


def test_a_spec_file_makes_texts_or_sentences_of_them(tmp_path: Path):
    file = tmp_path / "spec.yaml"
    for payload in PAYLOADS:
        file.write_text(f"name: {payload}\n", "utf-8")
        with contextlib.suppress(FtctlError):
            read_document(file)
    assert [each.name for each in tmp_path.iterdir()] == ["spec.yaml"]
