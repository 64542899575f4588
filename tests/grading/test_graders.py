"""Graders and metrics."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.comparing.labels import macro_f1
from orchestrator.domain.errors import UsageError
from orchestrator.grading.labels import labels_of
from orchestrator.grading.registry import grader_for, grader_names, make_grader
from orchestrator.grading.text import normalise


@pytest.mark.parametrize(
    ("spec", "answer", "reference", "value"),
    [
        ("exact", " spam\n", "spam", 1.0),
        ("exact", "Spam", "spam", 0.0),
        ("exact", "", "spam", 0.0),
        ("normalised", " The  Answer. ", "the answer", 1.0),
        ("normalised", "“Spam”!", "spam", 1.0),
        ("normalised", "spammer", "spam", 0.0),
        ("contains", "It is spam, I think.", "Spam", 1.0),
        ("contains", "It is spammy.", "spam", 0.0),
        (r"regex:#### (\S+)", "so 3+4\n#### 7", "steps\n#### 7", 1.0),
        (r"regex:#### (\S+)", "#### 8, no, #### 7", "#### 7", 1.0),
        (r"regex:#### (\S+)", "7", "#### 7", 0.0),
        (r"regex:\d+", "about 12", "12", 1.0),
        ("json-fields", '{"a": 1, "b": 2}', '{"b": 2, "a": 1.0}', 1.0),
        ("json-fields", '```json\n{"a": 1}\n```', '{"a": 1}', 1.0),
        ("json-fields", '{"a": 1, "b": 3}', '{"a": 1, "b": 2}', 0.5),
        ("json-fields", '{"a": true}', '{"a": 1}', 0.0),
        ("json-fields", '{"a": 1, "x": 1}', '{"a": 1}', 0.5),
        ("json-fields:a", '{"a": 1, "b": 3}', '{"a": 1, "b": 2}', 1.0),
        ("json-fields", "no json", '{"a": 1}', 0.0),
        ("token-f1", "the cat sat", "the cat", 0.8),
        ("token-f1", "dog", "cat", 0.0),
        ("token-f1", "", "", 1.0),
        ("token-f1", "x", "", 0.0),
    ],
)
def test_scores(spec: str, answer: str, reference: str, value: float):
    assert make_grader(spec).grade(answer, reference).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("spec", "reference"),
    [("json-fields", "not json"), (r"regex:#### (\S+)", "no mark"), ("contains", " ")],
)
def test_what_cannot_be_graded_has_no_value(spec: str, reference: str):
    score = make_grader(spec).grade("anything", reference)
    assert score.value is None
    assert score.reason


@pytest.mark.parametrize("spec", ["magic", "regex", "regex:("])
def test_a_grader_that_makes_no_sense_is_refused(spec: str):
    with pytest.raises(UsageError):
        make_grader(spec)


def test_every_grader_has_a_name():
    plain = {"contains", "exact", "json-fields", "normalised", "regex", "token-f1"}
    overlaps = {"fuzzy", "rouge-l", "rouge-1", "rouge-2", "chrf", "bleu"}
    others = {"tool-calls", "python", "judge", "judge-arms", "file", "json-schema"}
    assert set(grader_names()) == plain | overlaps | others


@given(st.text(), st.text())
def test_every_grader_stays_between_zero_and_one(answer: str, reference: str):
    plain = ("exact", "normalised", "contains", "json-fields", "token-f1", r"regex:\w+")
    for spec in (*plain, "fuzzy", "rouge-l", "rouge-1", "rouge-2", "chrf", "tool-calls"):
        value = make_grader(spec).grade(answer, reference).value
        assert value is None or 0 <= value <= 1


@given(st.text())
def test_every_text_equals_itself(text: str):
    assert make_grader("exact").grade(text, text).passed
    assert make_grader("normalised").grade(text, text).passed
    assert normalise(normalise(text)) == normalise(text)


class TestMetrics:
    REFERENCES = ["a", "a", "a", "b", "b", "c"]
    LABELS = ["a", "a", "b", "b", "x", "a"]

    def test_macro_f1(self):
        # a: 2*2/(3+3), b: 2*1/(2+2), c: 0
        counts = Counter(zip(self.REFERENCES, self.LABELS, strict=True))
        assert macro_f1(counts) == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)

    def test_no_rows_no_metric(self):
        with pytest.raises(ValueError, match="no rows"):
            macro_f1({})


@pytest.mark.parametrize(
    ("task", "grader"),
    [
        ("classification", "normalised"),
        ("extraction", "json-fields"),
        ("translation", "chrf"),
        ("qa", "token-f1"),
    ],
)
def test_a_task_chooses_its_grader(task: str, grader: str):
    assert grader_for(task) == grader
    assert make_grader(grader).name


def test_conversation_needs_a_judge():
    with pytest.raises(UsageError, match="model must judge"):
        grader_for("chat")


def test_labels_are_few_short_and_repeat():
    assert labels_of(["spam", "Ham", "ham.", "spam"]) == ["ham", "spam"]
    assert labels_of(["one", "two", "three", "four"]) is None
    assert labels_of(["spam"] * 10) is None
    assert labels_of(["x" * 50, "y" * 50] * 5) is None
