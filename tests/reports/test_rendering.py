"""What is written: clean, bounded, self-contained, and the same bytes every time."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from orchestrator.domain.deciding.checklist import Answers
from orchestrator.reports.html import to_html
from orchestrator.reports.json import to_json
from orchestrator.reports.markdown import escape, to_markdown
from orchestrator.reports.terminal import show_comparison
from orchestrator.reports.terminal_report import show_report
from orchestrator.reports.words import dollars
from tests.reports.samples import a_comparison, a_report, a_tuned_job

NASTY = [
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b]0;title\x07",
    "=cmd|' /C calc'!A0",
    '"><img src=x onerror=alert(1)>',
    "a | b `c` [x](javascript:alert(1)) <!-- ",
    "\u202egnp.exe\u2066",
    "\ud800 lone",
    "</style><style>*{display:none}",
    "x" * 1_000_000,
]


class Structure(HTMLParser):
    """Tags, attributes and nesting of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def parsed(page: str) -> Structure:
    found = Structure()
    found.feed(page)
    found.close()
    return found


def printed(show, value) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=160, force_terminal=False), value)
    return stream.getvalue()


@pytest.fixture(
    params=range(len(NASTY)), ids=[text[:8].encode("ascii", "replace").decode() for text in NASTY]
)
def nasty(request: pytest.FixtureRequest) -> str:
    index: int = request.param
    return NASTY[index]


class TestHtml:
    def test_structure(self):
        found = parsed(to_html(a_report().as_json()))
        assert found.tags.count("svg") == 6
        assert found.tags.count("h2") == 11
        assert found.tags.count("main") == found.tags.count("h1") == 1

    def test_nothing_remote_and_no_script(self):
        page = to_html(a_report().as_json())
        found = parsed(page)
        assert not {"script", "link", "img", "iframe", "object", "form"} & set(found.tags)
        names = {name for name, _ in found.attributes}
        assert not {name for name in names if name.startswith("on")} | names & {
            "src",
            "href",
            "style",
        }
        assert "default-src 'none'" in page
        assert "unsafe" not in page
        assert "http://" not in page
        assert "https://" not in page

    def test_it_is_small(self):
        assert len(to_html(a_report().as_json()).encode()) < 150_000

    def test_charts_are_well_formed_and_titled(self):
        for chart in re.findall(r"<svg.*?</svg>", to_html(a_report().as_json()), re.DOTALL):
            tree = ET.fromstring(chart)
            assert tree.findtext("title")
            assert "nan" not in chart
            assert "inf" not in chart

    def test_text_from_data_never_acts(self, nasty: str):
        plain = a_report(
            job=a_tuned_job(model=nasty, tuned_model=nasty), comparison=a_comparison(text=nasty)
        )
        page = to_html(plain.as_json())
        clean = parsed(to_html(a_report(comparison=a_comparison(text="x")).as_json()))
        assert parsed(page).tags == clean.tags
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert len(page.encode()) < 150_000

    def test_without_a_comparison(self):
        page = to_html(a_report(comparison=None, points=[], answers=Answers()).as_json())
        assert "Gather evidence" in page
        assert "<svg" not in page

    def test_one_point_of_training_draws(self):
        points = a_report().training[:1]
        page = to_html(a_report(points=points).as_json())
        assert "training loss" in page

    def test_the_same_report_gives_the_same_bytes(self):
        assert to_html(a_report().as_json()) == to_html(a_report().as_json())


class TestMarkdown:
    def test_tables_keep_their_columns(self, nasty: str):
        written = to_markdown(a_report(comparison=a_comparison(text=nasty[:1000])).as_json())
        block: list[int] = []
        for line in [*written.split("\n"), ""]:
            cells = len(re.findall(r"(?<!\\)\|", line))
            if cells:
                block.append(cells)
            elif block:
                assert len(set(block)) == 1
                block = []

    @pytest.mark.parametrize("text", ["<b>", "a|b", "[x](y)", "`c`", "line\nbreak", "# h"])
    def test_markup_is_escaped(self, text: str):
        shown = escape(text)
        assert "<" not in shown
        assert "\n" not in shown
        assert not re.search(r"(?<!\\)[|`\[#]", shown)

    def test_it_names_the_verdict_and_every_origin(self):
        written = to_markdown(a_report().as_json())
        assert written.startswith("# Go: fine-tuning tiny")
        for name in ("training", "test rows", "plan", "prices", "checklist"):
            assert f"| {name} |" in written


class TestTerminal:
    def test_a_comparison_reads_like_a_table(self):
        shown = printed(show_comparison, a_comparison())
        assert re.search(r"few-shot:8 \*\s+tiny\s+82\.0\s+77\.9-85\.5", shown)
        assert re.search(r"tuned - few-shot:8\s+400\s+\+7\.8\s+\[\+3\.6, \+12\.1\]\s+53/22", shown)
        assert "VERDICT  Improved" in shown

    def test_a_weak_rival_is_said_everywhere(self):
        comparison = a_comparison()
        arms = [replace(a, outside=399) for a in comparison.arms[:1]] + list(comparison.arms[1:])
        weak = replace(comparison, arms=arms)
        plain = a_report(comparison=weak).as_json()
        for shown in (printed(show_comparison, weak), to_html(plain), to_markdown(plain)):
            assert "399 of 400 answers of base are none of the labels" in shown

    def test_a_report_shows_verdict_evidence_and_money(self):
        shown = printed(show_report, a_report().as_json())
        assert "->  GO" in shown
        assert "+7.8 points [+3.6, +12.1] over few-shot:8" in shown
        assert "Payback" in shown

    def test_control_characters_are_shown_and_not_obeyed(self, nasty: str):
        comparison = a_comparison(text=nasty[:1000].replace("\ud800", "?"))
        shown = printed(show_comparison, comparison)
        shown += printed(show_report, a_report(comparison=comparison).as_json())
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)

    def test_markup_in_data_is_text(self):
        shown = printed(show_comparison, a_comparison(text="[bold red]x[/]"))
        assert "[bold red]x[/]" in shown


def test_json_reads_back():
    plain = a_report().as_json(["a.json"])
    assert json.loads(to_json(plain)) == plain


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (None, "unpriced"),
        (0.0, "$0.00"),
        (0.00025, "$0.00025"),
        (1241.0, "$1,241.00"),
        (-5.5, "-$5.50"),
    ],
)
def test_dollars(usd: float | None, shown: str):
    assert dollars(usd) == shown
