"""Whatever a provider sends becomes a value or one clear error."""

from __future__ import annotations

import contextlib
from datetime import date
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import ProviderUnreachable
from orchestrator.domain.jobs.job import JobStatus
from providers import answers

WORDS = {"queued": JobStatus.QUEUED}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    "id", "status", "model", "metadata", "error", "fine_tuned_model", "trained_tokens",
    "created_at", "finished_at", "result_files", "hyperparameters", "method", "filename", "bytes",
    "level", "message", "data", "metrics", "step_number", "choices", "usage",
]  # fmt: skip
OBJECT = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=len(FIELDS))


@given(OBJECT)
def test_any_object_is_mapped_or_refused(raw: dict[str, Any]):
    answers.job_events([raw, raw])
    with contextlib.suppress(ProviderUnreachable):
        answers.chat_answer(raw, 0.1)
    for read in (partial(answers.remote_job, words=WORDS), answers.remote_file, answers.checkpoint):
        if answers.is_id(raw.get("id")):
            read(raw)
        else:
            with pytest.raises(ProviderUnreachable, match="no id"):
                read(raw)


@given(st.dictionaries(st.sampled_from(["data", "object"]), st.lists(JSON, max_size=3) | JSON))
def test_any_list_of_models_is_read_or_refused(raw: dict[str, Any]):
    if isinstance(raw.get("data"), list):
        assert len(answers.remote_models(raw)) <= len(raw["data"])
    else:
        with pytest.raises(ProviderUnreachable, match="without a list"):
            answers.remote_models(raw)


@pytest.mark.parametrize(
    ("fields", "serving", "training"),
    [
        ({"shutdown_date": "2026-10-23"}, date(2026, 10, 23), None),
        ({"shutdown_date": "2026-10-23T00:00:00Z"}, date(2026, 10, 23), None),
        ({"shutdown_date": 1_792_713_600}, date(2026, 10, 23), None),
        ({"shutdown_date": None}, None, None),
        ({"shutdown_date": "soon"}, None, None),
        ({"shutdown_date": ["2026-10-23"]}, None, None),
        ({"deprecation": {"inference": 1_709_284_527}}, date(2024, 3, 1), None),
        ({"deprecation": {"inference": 0, "fine_tune": 1_709_284_527}}, None, date(2024, 3, 1)),
        ({"deprecation": None}, None, None),
    ],
)
def test_a_models_last_day_is_read_as_it_comes(fields, serving, training):
    (model,) = answers.remote_models({"data": [{"id": "m", **fields}, {"name": "no id"}, None]})
    assert (model.serving_ends, model.training_ends) == (serving, training)


def test_an_unknown_word_stays_visible_and_means_nothing():
    job = answers.remote_job({"id": "j", "status": "hibernating"}, WORDS)
    assert (job.status, job.remote_status) == (None, "hibernating")


@pytest.mark.parametrize("error", [None, {}, [], "text", {"code": None, "message": None}])
def test_an_empty_error_is_none(error: Any):
    assert answers.remote_job({"id": "j", "error": error}, WORDS).error is None


def test_what_azure_calls_minus_one_is_auto():
    raw = {"id": "j", "hyperparameters": {"n_epochs": -1, "batch_size": 4}}
    assert answers.remote_job(raw, WORDS).hyperparameters == {"n_epochs": "auto", "batch_size": 4}


def test_a_file_without_a_status_may_be_used():
    assert answers.remote_file({"id": "f"}).processed
    assert not answers.remote_file({"id": "f", "status": "uploaded"}).processed
    assert answers.remote_file({"id": "f", "status": "error"}, failed=frozenset({"error"})).failed


def test_events_come_oldest_first_from_either_order():
    told = [{"created_at": at, "message": str(at), "level": "warn"} for at in (3, 2, 1)]
    forward = [event.message for event in answers.job_events(told)]
    backward = [event.message for event in answers.job_events(told[::-1])]
    assert forward == backward == ["1", "2", "3"]
    assert answers.job_events(told)[0].level == "warning"


def test_events_of_one_second_keep_the_hosts_order():
    told = [{"created_at": 5, "message": word} for word in "cba"]
    assert [event.message for event in answers.job_events(told)] == ["a", "b", "c"]
    kept = answers.job_events(told, newest_first=False)
    assert [event.message for event in kept] == ["c", "b", "a"]


def test_an_event_keeps_its_key_when_its_id_changes():
    first = answers.job_events([{"id": "x", "created_at": 1, "message": "m", "level": "info"}])
    again = answers.job_events([{"id": "y", "created_at": 1, "message": "m", "level": "info"}])
    assert first[0].key == again[0].key


def test_two_metrics_of_one_second_stay_two():
    told = [{"created_at": 1, "message": "loss", "data": {"step": step}} for step in (2, 1)]
    assert len(answers.job_events(told)) == 2


def test_usage_is_counted_where_it_is_told():
    raw = {
        "choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
    answer = answers.chat_answer(raw, 0.25)
    assert (answer.text, answer.latency) == ("ab", 0.25)
    assert (answer.prompt_tokens, answer.completion_tokens) == (9, 4)
    assert (answer.cached_tokens, answer.reasoning_tokens) == (3, 2)


@pytest.mark.parametrize("odd", ["", " ", "a b", "file\n1", "x" * 256, "ftjob-ü", 7, None, ["j"]])
def test_what_cannot_name_a_job_is_no_id(odd: Any):
    assert not answers.is_id(odd)
    with pytest.raises(ProviderUnreachable, match="no id"):
        answers.remote_job({"id": odd, "status": "queued"}, WORDS)
    assert answers.remote_job({"id": "ftjob-" + "x" * 200}, WORDS).id.startswith("ftjob-")
