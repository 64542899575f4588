"""The torture set: every error it lists is found at its place, and no clean row is accused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.datasets.checking.validation import Validation, validate
from orchestrator.datasets.content.leaks import Seen
from orchestrator.datasets.findings.finding import Severity

TORTURE = Path(__file__).parents[1] / "data" / "datasets" / "torture"
MANIFEST: list[dict[str, Any]] = json.loads((TORTURE / "MANIFEST.json").read_text())["files"]


def checked(name: str) -> Validation:
    if name == "leak_valid.jsonl":
        seen = Seen()
        validate(TORTURE / "leak_train.jsonl", remember=seen, count_tokens=False)
        return validate(TORTURE / name, training=seen, split="validation")
    return validate(TORTURE / name, method="dpo" if "dpo" in name else "supervised")


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["file"])
def test_every_finding_is_found_at_its_place(entry: dict[str, Any]) -> None:
    verdict = checked(entry["file"])
    places = {(finding.line, finding.pointer) for finding in verdict.findings}
    lines = {line for line, _ in places}
    for wanted in entry["findings"]:
        assert wanted["line"] in lines, wanted
        if wanted["line"] is not None and "pointer" in wanted:
            assert (wanted["line"], wanted["pointer"]) in places, wanted


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["file"])
def test_columns_are_bytes_from_one(entry: dict[str, Any]) -> None:
    columns = {(finding.line, finding.column) for finding in checked(entry["file"]).findings}
    for wanted in entry["findings"]:
        if "column" in wanted:
            assert (wanted["line"], wanted["column"]) in columns, wanted


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["file"])
def test_no_other_line_is_accused(entry: dict[str, Any]) -> None:
    accused = {
        finding.line
        for finding in checked(entry["file"]).findings
        if finding.severity is not Severity.INFO and finding.line is not None
    }
    listed = {wanted["line"] for wanted in entry["findings"]}
    if entry["file"] == "blank_lines.jsonl":
        listed |= {14, 15}  # The manifest says "and the end" and lists the first three.
    assert accused <= listed


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["file"])
def test_the_verdict_is_the_manifests(entry: dict[str, Any]) -> None:
    verdict = checked(entry["file"])
    if entry["verdict"] == "error":
        assert not verdict.ok
    else:
        assert verdict.ok, verdict.findings
