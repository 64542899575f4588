"""Graders of tool calls, JSON Schema, and a person's own function in its own process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.chat import ChatAnswer, calls_text
from orchestrator.domain.comparing.sample import Sample
from orchestrator.domain.errors import UsageError
from orchestrator.grading.function import Function
from orchestrator.grading.grader import Item, score
from orchestrator.grading.registry import make_grader


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def item(text: str = "", reference: str = "", calls: tuple[Any, ...] = (), **fields: Any) -> Item:
    answer = ChatAnswer(
        text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1, latency=0.1,
        tool_calls=calls,
    )  # fmt: skip
    messages = [{"role": "user", "content": "what?"}]
    return Item(
        sample=Sample(row=1, messages=messages, reference=reference, fields=fields), answer=answer
    )


class TestToolCalls:
    WANTED = calls_text([call("weather", city="Oslo", day=1), call("log", x=1)])

    @pytest.mark.parametrize(
        ("spec", "calls", "value"),
        [
            ("tool-calls", (call("weather", day=1, city="Oslo"), call("log", x=1)), 1.0),
            ("tool-calls", (call("log", x=1), call("weather", city="Oslo", day=1)), 1.0),
            ("tool-calls", (call("weather", city="Rome", day=1), call("log", x=1)), 0.0),
            ("tool-calls:names", (call("weather"), call("log")), 1.0),
            ("tool-calls:names", (call("weather"), call("log"), call("log")), 0.0),
            ("tool-calls", (), 0.0),
        ],
    )
    def test_calls_are_compared_as_values_in_any_order(self, spec: str, calls, value: float):
        grader = make_grader(spec)
        assert score(grader, item("I will look.", self.WANTED, calls)).value == value

    @pytest.mark.parametrize(("calls", "value"), [((), 1.0), ((call("log"),), 0.0)])
    def test_a_row_that_wants_no_call_is_right_without_one(self, calls, value: float):
        assert score(make_grader("tool-calls"), item("Which one?", "Which?", calls)).value == value

    def test_the_lacking_call_is_named(self):
        found = score(make_grader("tool-calls"), item("", self.WANTED, (call("log", x=1),)))
        assert found.reason == "not called: weather"


class TestJsonSchema:
    def test_valid_and_not(self, tmp_path: Path):
        path = tmp_path / "s.json"
        path.write_text(
            json.dumps(
                {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
            )
        )
        grader = make_grader(f"json-schema:{path}")
        assert grader.grade('{"a": 1}', "").value == 1.0
        assert grader.grade('```json\n{"a": 1.0}\n```', "").value == 1.0
        assert grader.grade('{"a": "x"}', "").reason.startswith("a: ")
        assert grader.grade("null", "").value == 0.0
        assert grader.grade("no json", "").value == 0.0

    def test_no_schema_is_said(self, tmp_path: Path):
        (tmp_path / "s.json").write_text('{"type": "magic"}')
        for spec in ("json-schema", "json-schema:absent.json", f"json-schema:{tmp_path}/s.json"):
            with pytest.raises(UsageError):
                make_grader(spec)


def grader(tmp_path: Path, body: str, seconds: float = 10.0) -> Function:
    path = tmp_path / "grade.py"
    path.write_text(body, encoding="utf-8")
    return Function({"path": str(path), "function": "grade"}, name="grade", seconds=seconds)


class TestFunction:
    @pytest.mark.parametrize(
        "body",
        [
            "def grade(sample, item): return sample['output_text'] == item['reference']",
            "def grade(item, sample): return float(sample['output_text'] == item['reference'])",
            "def grade(answer, reference): return answer == reference",
            "def grade(a, b): return a['output_text'] == b['reference']",
            "print('hello')\ndef grade(sample, item):\n    print('noise')\n    return 1",
        ],
    )
    def test_it_gives_the_score(self, tmp_path: Path, body: str):
        found = grader(tmp_path, body)
        assert found.grade_item(item("yes", "yes")).value == 1.0
        found.close()

    def test_it_sees_the_fields_of_the_row(self, tmp_path: Path):
        found = grader(tmp_path, "def grade(sample, item): return item['weight'] / 4")
        assert found.grade_item(item("x", "y", weight=3)).value == 0.75
        found.close()

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("def grade(sample, item): return 1 / 0", "ZeroDivisionError"),
            ("def grade(sample, item): return None", "no score"),
            ("def grade(sample, item): return 7", "not 0 to 1"),
            ("def grade(sample, item): return float('nan')", "not 0 to 1"),
            ("import os\ndef grade(sample, item): os._exit(3)", "ended"),
        ],
    )
    def test_what_fails_is_no_zero(self, tmp_path: Path, body: str, reason: str):
        found = grader(tmp_path, body)
        graded = found.grade_item(item("a", "b"))
        assert graded.value is None
        assert reason in graded.reason
        found.close()

    def test_an_endless_loop_ends_and_the_next_row_is_graded(self, tmp_path: Path):
        body = "def grade(answer, reference):\n    while answer == 'loop': pass\n    return 1"
        found = grader(tmp_path, body, seconds=1.0)
        assert "more than 1 s" in found.grade_item(item("loop", "b")).reason
        assert found.grade_item(item("fine", "b")).value == 1.0
        found.close()

    def test_it_is_given_no_keys(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        body = "import os\ndef grade(sample, item): return 'OPENAI_API_KEY' in os.environ"
        found = grader(tmp_path, body)
        assert found.grade_item(item("a", "b")).value == 0.0
        found.close()

    @pytest.mark.parametrize("body", ["def grade(: pass", "x = 1", "raise SystemExit(1)"])
    def test_a_file_that_cannot_be_loaded_is_said(self, tmp_path: Path, body: str):
        with pytest.raises(UsageError, match="cannot be loaded"):
            grader(tmp_path, body)

    def test_no_file_is_said(self):
        with pytest.raises(UsageError, match="no file"):
            make_grader("python:absent.py:grade")
