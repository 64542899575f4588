"""The JSON parsing test suite: what must be refused is refused, and nothing ever raises."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest

from orchestrator.datasets.checking.validation import validate
from orchestrator.datasets.files.strict import read_strictly

PACKED = Path(__file__).parents[1] / "data" / "datasets" / "json_test_suite.jsonl"
CASES = [
    (case["name"], base64.b64decode(case["base64"]))
    for case in map(json.loads, PACKED.read_text().splitlines())
]
# Legal JSON that a dataset must not hold.
REPEATED_KEYS = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
HUGE = [
    ("n_structure_100000_opening_arrays.json", b"[" * 100_000),
    ("n_structure_open_array_object.json", b'[{"":' * 50_000),
]


@pytest.mark.parametrize(("name", "content"), CASES + HUGE, ids=lambda value: str(value)[:40])
def test_the_strict_reader_judges_as_the_suite_does(name: str, content: bytes) -> None:
    refused = bool(read_strictly(content).flaws)
    if name.startswith("n_"):
        assert refused
    elif name.startswith("y_") and name not in REPEATED_KEYS:
        assert not refused


@pytest.mark.parametrize(("name", "content"), CASES + HUGE, ids=lambda value: str(value)[:40])
def test_no_file_of_the_suite_raises(name: str, content: bytes) -> None:
    verdict = validate(io.BytesIO(content), count_tokens=False)
    assert not verdict.ok
    row = b'{"messages": [{"role": "user", "content": ' + content + b"}]}"
    validate(io.BytesIO(row), count_tokens=False)
