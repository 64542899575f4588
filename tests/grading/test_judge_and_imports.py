"""A model as judge, and OpenAI's grader JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.errors import UsageError
from orchestrator.grading.expression import Expression
from orchestrator.grading.grader import ModelGrader, score
from orchestrator.grading.imported import from_json
from orchestrator.grading.judge import Judge
from orchestrator.grading.registry import make_grader
from tests.grading.test_tools_and_functions import call, item


class TestJudge:
    @pytest.mark.parametrize(
        ("replies", "value", "flipped"),
        [
            (["VERDICT: A", "VERDICT: B"], 1.0, False),
            (["VERDICT: B", "verdict: a"], 0.0, False),
            (["VERDICT: A", "VERDICT: A"], 0.5, True),
            (["VERDICT: TIE", "VERDICT: TIE"], 0.5, False),
            (["A is better here.\nVERDICT: B", "**VERDICT: A**"], 0.0, False),
        ],
    )
    def test_only_both_orders_decide(self, replies: list[str], value: float, flipped: bool):
        found = Judge(model="m").conclude(item("x", "y"), replies)
        assert (found.value, found.flipped) == (value, flipped)

    @pytest.mark.parametrize("replies", [[], ["VERDICT: A"], ["I cannot say", "VERDICT: A"]])
    def test_no_verdict_is_no_zero(self, replies: list[str]):
        assert Judge(model="m").conclude(item("x", "y"), replies).value is None

    def test_the_two_looks_change_places(self):
        judge = Judge(model="m")
        first, second = (
            judge.question(item("mine", "theirs"), look)[1]["content"] for look in (0, 1)
        )
        assert first.index("mine") < first.index("theirs")
        assert second.index("theirs") < second.index("mine")

    def test_its_name_says_who_and_where(self):
        judge = make_grader("judge:ft:gpt-x:acme::1@openai")
        assert isinstance(judge, ModelGrader)
        assert (judge.model, judge.profile) == ("ft:gpt-x:acme::1", "openai")
        assert make_grader("judge:gpt-6-luna").grade("a", "b").value is None
        with pytest.raises(UsageError):
            make_grader("judge")


def check(operation: str, **more: str) -> dict[str, Any]:
    return {
        "type": "string_check", "name": "check", "operation": operation,
        "input": "{{ sample.output_text }}", "reference": "{{item.reference}}", **more,
    }  # fmt: skip


class TestImported:
    @pytest.mark.parametrize(
        ("operation", "answer", "value"),
        [("eq", "Yes", 0), ("eq", "yes", 1), ("ne", "yes", 0), ("like", "oh yes!", 1),
         ("like", "oh YES!", 0), ("ilike", "oh YES!", 1)],
    )  # fmt: skip
    def test_string_check(self, operation: str, answer: str, value: float):
        assert score(from_json(check(operation)), item(answer, "yes")).value == value

    def test_names_reach_into_the_row_and_into_json(self):
        plain = check(
            "eq", input="{{sample.output_json.kind}}", reference="{{ item.meta.kinds[1] }}"
        )
        row = item('{"kind": "b"}', "", meta={"kinds": ["a", "b"]})
        assert score(from_json(plain), row).value == 1
        assert score(from_json(plain), item("no json", "")).value is None
        tools = check("like", input="{{sample.output_tools}}", reference="weather")
        assert score(from_json(tools), item("", "", (call("weather"),))).value == 1

    def test_text_similarity(self):
        plain = {
            "type": "text_similarity", "name": "near", "evaluation_metric": "fuzzy_match",
            "input": "{{sample.output_text}}", "reference": "{{item.reference}}",
        }  # fmt: skip
        assert score(from_json(plain), item("abcd", "abce")).value == 0.75
        assert (
            score(from_json({**plain, "evaluation_metric": "rouge_l"}), item("a b", "a b")).value
            == 1
        )
        with pytest.raises(UsageError, match="cosine"):
            from_json({**plain, "evaluation_metric": "cosine"})

    def test_score_model(self):
        plain = {
            "type": "score_model", "name": "nice", "model": "gpt-x", "range": [1, 5],
            "input": [{"role": "user", "content": "Rate {{sample.output_text}} from 1 to 5"}],
        }  # fmt: skip
        grader = from_json(plain)
        assert isinstance(grader, ModelGrader)
        asked = grader.question(item("this", ""), 0)
        assert asked[0]["content"] == "Rate this from 1 to 5"
        assert grader.conclude(item(), ['{"result": 4}']).value == 0.75
        assert grader.conclude(item(), ["I give a 5"]).value == 1.0
        assert grader.conclude(item(), ["9"]).value is None
        assert grader.conclude(item(), ["lovely"]).value is None

    def test_label_model(self):
        plain = {
            "type": "label_model", "name": "kind", "model": "gpt-x", "labels": ["good", "bad"],
            "passing_labels": ["good"], "input": [{"role": "user", "content": "?"}],
        }  # fmt: skip
        grader = from_json(plain)
        assert isinstance(grader, ModelGrader)
        assert [grader.conclude(item(), [f'{{"result": "{w}"}}']).value for w in ("good", "bad", "x")] == [
            1.0, 0.0, None,
        ]  # fmt: skip

    def test_python(self):
        source = "def grade(sample, item):\n    return 0.5 if item['k'] == 2 else 0.0"
        grader = from_json({"type": "python", "name": "mine", "source": source})
        assert score(grader, item("x", "", k=2)).value == 0.5

    def test_multi_computes_its_formula(self):
        plain = {
            "type": "multi", "name": "both", "calculate_output": "0.25 * a + 0.75 * min(b, 1)",
            "graders": {"a": check("eq"), "b": check("ilike")},
        }  # fmt: skip
        assert score(from_json(plain), item("oh yes", "yes")).value == 0.75
        assert (
            score(from_json({**plain, "calculate_output": "a / (b - b)"}), item("x", "x")).value
            is None
        )

    def test_multi_with_a_model_asks_it(self):
        judge = {"type": "score_model", "name": "j", "model": "gpt-x",
                 "input": [{"role": "user", "content": "?"}]}  # fmt: skip
        grader = from_json(
            {"type": "multi", "name": "m", "calculate_output": "(a + j) / 2",
             "graders": {"a": check("eq"), "j": judge}}
        )  # fmt: skip
        assert isinstance(grader, ModelGrader)
        assert (grader.looks, grader.model) == (1, "gpt-x")
        assert grader.conclude(item("yes", "yes"), ["0.5"]).value == 0.75

    @pytest.mark.parametrize(
        "plain",
        [[], {}, {"type": "magic"}, {"type": "string_check"}, {**check("eq"), "operation": "gt"},
         {"type": "python", "source": "x = 1"},
         {"type": "multi", "graders": {"a": check("eq")}, "calculate_output": "a + z"}],
    )  # fmt: skip
    def test_what_cannot_be_run_is_said(self, plain: Any):
        with pytest.raises(UsageError):
            from_json(plain)

    def test_a_file_is_read(self, tmp_path: Path):
        path = tmp_path / "g.json"
        path.write_text(json.dumps({"grader": check("eq")}))
        assert score(make_grader(f"file:{path}"), item("yes", "yes")).value == 1
        with pytest.raises(UsageError):
            make_grader("file:absent.json")


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os')",
        "a.b",
        "a[0]",
        "lambda: 1",
        "a if a else 0",
        "'x' * 9",
        "open('x')",
        "(",
        "q",
    ],
)
def test_a_formula_is_arithmetic_and_nothing_else(formula: str):
    with pytest.raises(UsageError):
        Expression(formula, ["a"])
