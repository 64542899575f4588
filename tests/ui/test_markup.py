"""Nothing that is text becomes markup, and no address leads elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.reports.words import harmless
from orchestrator.ui.files import Files
from orchestrator.ui.layout import field, url
from orchestrator.ui.markup import h


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_a_text_is_read_as_it_was_given(text: str):
    seen = Seen(h("p", text, title=text))
    assert seen.tags == ["p"]
    assert set(seen.attributes) == {"title"}
    assert seen.text == harmless(text)


def test_markup_is_not_escaped_twice():
    assert h("p", h("b", "a & b"), ["c", None, 1]) == "<p><b>a &amp; b</b>c1</p>"


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)", "JaVaScRiPt:x", "//evil.example/", "/\\evil.example", "https://x/",
        " /", "data:text/html,x", "\tjavascript:x", "/a\nb", "x", "",
    ],
)  # fmt: skip
def test_an_address_elsewhere_is_no_address(address: str):
    for name in ("href", "src", "action"):
        with pytest.raises(ValueError, match="leads elsewhere"):
            h("a", "x", **{name: address})


@given(st.text(), st.text())
def test_whatever_is_in_an_address_of_ours_stays_in_it(path: str, value: str):
    assert h("a", "x", href=url(f"/jobs/x{path}", q=value)).startswith('<a href="/jobs/x')


@pytest.mark.parametrize("name", ["onclick", "style", "srcdoc", "formaction", "onload"])
def test_an_attribute_that_acts_is_refused(name: str):
    with pytest.raises(ValueError, match="would act"):
        h("p", **{name: "x"})


def test_an_input_is_bound_to_its_label_and_help():
    seen = Seen(field("Seed", "seed", help_="a number"))
    assert seen.attributes["for"] == "f-seed"
    assert seen.attributes["aria-describedby"] == "f-seed-help"


class TestFiles:
    @pytest.mark.parametrize(
        "name", ["../out.jsonl", "/etc/passwd", "link.jsonl", ".env.jsonl", "a/../../out.jsonl",
                 "plain.txt", "", "missing.jsonl", "folder.jsonl", "pipe.jsonl", "x\0.jsonl",
                 ".hidden/in.jsonl"],
    )  # fmt: skip
    def test_nothing_outside_the_folder_is_read(self, tmp_path, name: str):
        import os

        from orchestrator.domain.errors import UsageError

        home = tmp_path / "home"
        (home / "folder.jsonl").mkdir(parents=True)
        (home / ".hidden").mkdir()
        for file in (
            tmp_path / "out.jsonl",
            home / ".env.jsonl",
            home / "plain.txt",
            home / ".hidden/in.jsonl",
        ):
            file.write_text("{}")
        (home / "link.jsonl").symlink_to(tmp_path / "out.jsonl")
        os.mkfifo(home / "pipe.jsonl")
        with pytest.raises(UsageError):
            Files(home).find(name)
        assert Files(home).all() == []

    def test_what_is_listed_can_be_named(self, tmp_path):
        (tmp_path / "deep").mkdir()
        for name in ("a.jsonl", "deep/b.csv.gz"):
            (tmp_path / name).write_text("{}")
        files = Files(tmp_path)
        assert [each.name for each in files.all()] == ["a.jsonl", "deep/b.csv.gz"]
        assert all(files.find(each.name).is_file() for each in files.all())
