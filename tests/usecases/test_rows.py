"""Rows of a comparison, read back long after the file is gone."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from orchestrator.domain.jobs.job import Job
from orchestrator.domain.provider import Provider
from orchestrator.resources import schema
from orchestrator.usecases.comparing.rows import to_csv
from tests.conftest import Ftctl
from tests.usecases.comparing import Host, row, tuned_job, write

HOSTILE = "<script>alert(1)</script>\x1b[31m=cmd|' /C calc'!A0\u202e"


@pytest.fixture
def host(ftctl: Ftctl) -> Host:
    made = Host(right={"tiny": 95, "ft:tiny:x": 55})
    ftctl.build_provider = lambda profile: cast(Provider, made)
    return made


@pytest.fixture
def compared(ftctl: Ftctl, host: Host) -> tuple[Job, str]:
    job = tuned_job(ftctl)
    test = write(ftctl.home / "test.jsonl", [row(n) for n in range(120)])
    found = ftctl("compare", job.id, "--test", test, "--json").json
    test.unlink()
    return job, found["id"]


def test_lost_rows_are_rows_the_candidate_lost(ftctl: Ftctl, compared):
    _, comparison = compared
    found = ftctl("rows", comparison, "--lost", "--json").json
    jsonschema.validate(found, schema("rows.schema.json"))
    assert found
    for each in found:
        scores = {name: one["score"] for name, one in each["answers"].items()}
        assert scores["tuned"] < scores["few-shot:6"]
        assert each["answers"]["tuned"]["text"] != each["reference"]


def test_slices_and_arms_narrow_the_view(ftctl: Ftctl, compared):
    _, comparison = compared
    found = ftctl(
        "rows", comparison, "--lost", "--slice", "refund", "--arm", "tuned", "--json"
    ).json
    assert {each["slice"] for each in found} == {"refund"}
    assert {tuple(each["answers"]) for each in found} == {("tuned",)}
    assert ftctl("rows", comparison, "--slice", "magic").code == 2
    assert ftctl("rows", comparison, "--arm", "magic").code == 2
    assert len(ftctl("rows", comparison, "--limit", "3", "--json").json) == 3


def test_comparisons_are_listed_newest_first(ftctl: Ftctl, compared):
    job, comparison = compared
    found = ftctl("comparisons", job.id, "--json").json
    jsonschema.validate(found, schema("comparisons.schema.json"))
    assert [each["id"] for each in found] == [comparison]
    assert "Degraded" in ftctl("comparisons").out


def test_hostile_text_is_shown_and_not_obeyed(ftctl: Ftctl, host: Host):
    job = tuned_job(ftctl)
    host.say = lambda request: HOSTILE
    rows: list[dict[str, Any]] = [row(n) for n in range(30)]
    rows[0]["messages"][0]["content"] = HOSTILE + "x" * 1_000_000
    test = write(ftctl.home / "test.jsonl", rows)
    done = ftctl("compare", job.id, "--test", test, "--json")
    for form in ("--json", "--csv"):
        assert not set("\x1b\u202e") & set(ftctl("rows", done.json["id"], form).out)
    for words in (("rows", done.json["id"]), ("compare", job.id, "--test", str(test))):
        shown = ftctl(*words)
        assert "\x1b" not in shown.out + shown.err
        assert "\u202e" not in shown.out + shown.err
        assert len(shown.out) < 100_000
    ftctl("report", job.id, "--out", "decision")
    page = Path("decision/report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert len(page) < 150_000
    csv.field_size_limit(2_000_000)
    written = ftctl("rows", done.json["id"], "--csv").out
    cells = [cell for line in csv.reader(io.StringIO(written, newline="")) for cell in line]
    assert len(cells) == 31 * 11
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("cell", ["=1+1", "\n=1", "\uff1d1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_formula_becomes_text(cell: str):
    rows = [{"row": 1, "slice": cell, "outcome": "won", "asked": cell, "reference": cell,
             "answers": {"tuned": {"text": cell, "score": 1.0}}}]  # fmt: skip
    line = list(csv.reader(io.StringIO(to_csv(rows), newline="")))[1]
    assert [one for one in line if one.startswith("'")] == ["'" + cell] * 4


def test_an_unknown_comparison_is_said(ftctl: Ftctl):
    assert ftctl("rows", "zzz").code == 2
