"""docs/findings.md has a section for every code, and its examples are true."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from orchestrator.datasets.checking.validation import Validation, validate
from orchestrator.datasets.findings.codes import CATALOGUE

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"
SECTIONS: dict[str, str] = dict(
    re.findall(r"(?ms)^### `([a-z0-9-]+)`\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"))
)


def example(code: str, name: str) -> bytes | None:
    found = re.search(rf"(?ms)^{name}:\n````json\n(.*?)\n````", SECTIONS[code])
    return found.group(1).encode() + b"\n" if found else None


def checked(code: str, content: bytes) -> Validation:
    method = "dpo" if "--method dpo" in SECTIONS[code] else "supervised"
    return validate(io.BytesIO(content), method=method, count_tokens=False)


def test_every_code_has_a_section_and_every_section_a_code() -> None:
    assert list(SECTIONS) == list(CATALOGUE)


@pytest.mark.parametrize("code", list(CATALOGUE))
def test_codes_are_kebab_case_and_sections_whole(code: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code)
    assert f"*{CATALOGUE[code].severity}*" in SECTIONS[code]
    assert "Bad:" in SECTIONS[code]
    assert "Mended:" in SECTIONS[code]


@pytest.mark.parametrize("code", list(CATALOGUE))
def test_the_bad_example_has_the_finding(code: str) -> None:
    bad = example(code, "Bad")
    if bad is not None:
        assert code in checked(code, bad).counts


@pytest.mark.parametrize("code", list(CATALOGUE))
def test_the_mended_example_is_clean(code: str) -> None:
    mended = example(code, "Mended")
    if mended is not None:
        assert set(checked(code, mended).counts) <= {"too-few-rows", "duplicate-row"}
