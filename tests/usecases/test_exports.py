"""What a CI, a pull request and other viewers read: the same numbers, and nothing that acts."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.domain.provider import Provider
from orchestrator.reports.junit import to_junit
from tests.conftest import Ftctl
from tests.usecases.comparing import Host, row, tuned_job, write

HOSTILE = "<script>alert(1)</script>\x1b[31m ]]> & \"'\x00\ufffe\ud800 =cmd"


@pytest.fixture
def host(ftctl: Ftctl) -> Host:
    made = Host(right={"tiny": 95, "ft:tiny:x": 55})
    ftctl.build_provider = lambda profile: cast(Provider, made)
    return made


def counted(suite: ElementTree.Element) -> tuple[int, int, int]:
    cases = suite.findall("testcase")
    failed = [case for case in cases if case.find("failure") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    assert suite.get("tests") == str(len(cases))
    assert suite.get("failures") == str(len(failed))
    return len(cases), len(failed), len(skipped)


def test_gates_and_rows_are_junit(ftctl: Ftctl, host: Host):
    job = tuned_job(ftctl)
    test = write(ftctl.home / "test.jsonl", [row(n) for n in range(120)])
    files = ftctl.home / "junit.xml", ftctl.home / "comment.md"
    done = ftctl(
        "compare", job.id, "--test", test, "--json", "--junit", files[0], "--markdown", files[1]
    )
    gates, rows = ElementTree.parse(files[0]).getroot()
    found = done.json
    assert counted(gates) == (len(found["differences"]) + len(found["slices"]), 4, 0)
    lost = next(d for d in found["differences"] if d["baseline"] == found["best_baseline"])["lost"]
    assert counted(rows) == (120, lost, 0)
    text = files[1].read_text(encoding="utf-8")
    assert text.startswith("## Comparison")
    assert "**Degraded**" in text
    printed = ftctl("rows", found["id"], "--junit").out
    assert counted(ElementTree.fromstring(printed)[1]) == (120, lost, 0)


def test_hostile_text_stays_text_in_xml():
    answers = {"tuned": {"text": HOSTILE + "x" * 1_000_000, "score": 0.0}}
    rows: list[dict[str, Any]] = [
        {"row": 1, "slice": HOSTILE, "outcome": "lost", "asked": HOSTILE, "reference": HOSTILE,
         "answers": answers},
        {"row": 2, "slice": None, "outcome": None, "asked": "", "reference": "", "answers": {}},
    ]  # fmt: skip
    gate = {"candidate": HOSTILE, "baseline": "b", "metric": "exact", "slice": None,
            "verdict": "Inconclusive", "diff": 0.0, "low": -0.1, "high": 0.1, "p_holm": 1.0}  # fmt: skip
    plain = {"id": "c", "differences": [{**gate, "candidate": "tuned"}, gate], "slices": []}
    written = to_junit(plain, rows)
    assert len(written) < 20_000
    suites = ElementTree.fromstring(written.encode("utf-8"))
    assert counted(suites[0]) == (2, 0, 2)
    assert counted(suites[1]) == (2, 1, 1)
    failure = suites[1].find("testcase/failure")
    assert failure is not None
    assert "<script>alert(1)</script>" in str(failure.text)
    assert "\x1b" not in written


def test_promptfoo_reads_rows_and_scores(ftctl: Ftctl, host: Host):
    job = tuned_job(ftctl)
    test = write(ftctl.home / "test.jsonl", [row(n) for n in range(40)])
    found = ftctl("compare", job.id, "--test", test, "--json").json
    plain = json.loads(ftctl("rows", found["id"], "--promptfoo").out)
    results = plain["results"]["results"]
    assert plain["results"]["version"] == 3
    assert len(results) == 40 * len(found["arms"])
    right = sum(round(arm["metrics"]["exact"] * arm["n"]) for arm in found["arms"])
    assert plain["results"]["stats"] == {
        "successes": right, "failures": len(results) - right, "errors": 0
    }  # fmt: skip


def test_a_report_is_printed_for_a_pull_request(ftctl: Ftctl, host: Host):
    job = tuned_job(ftctl)
    printed = ftctl("report", job.id, "--markdown", "--out", ftctl.home / "report")
    assert printed.out == (ftctl.home / "report" / "report.md").read_text(encoding="utf-8")


def written(home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Everything that a comparison and its report write in a home, with the ids taken out."""
    ftctl = Ftctl(home=home, capsys=capsys)
    ftctl.build_provider = lambda profile: cast(Provider, Host())
    home.mkdir()
    test = write(home / "test.jsonl", [row(n) for n in range(60)])
    arms = ("--arm", "model:local/tiny", "--arm", "model:local/ft:tiny:x", "--repeats", "2")
    found = ftctl("compare", "--test", test, *arms, "--task", "translation", "--json").json
    ftctl("report", "--comparison", found["id"], "--out", home / "report")
    texts = {p.name: p.read_text(encoding="utf-8") for p in sorted((home / "report").iterdir())}
    texts["junit"] = ftctl("rows", found["id"], "--junit").out
    return {
        name: text.replace(found["id"], "ID").replace(str(home), "HOME")
        for name, text in texts.items()
    }


def test_the_same_inputs_give_the_same_bytes_in_any_home(tmp_path: Path, capsys):
    one, other = (written(tmp_path / name, capsys) for name in ("one", "other"))
    assert set(one) == {"report.json", "report.md", "report.html", "junit"}
    assert one == other
