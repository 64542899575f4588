"""Every example that OpenAI and Microsoft publish, sent as an answer to the call it belongs to.

Many break the schema beside them, some are no JSON, and long ones are cut. What is cut is closed
again, so that each can be read; as it stands, it is no answer, and never anything worse.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.errors import OutcomeUnknown, ProviderUnreachable
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.provider import JobRequest
from providers import azure, openai
from providers.retry import Retry
from providers.wire import WireProvider
from tests.providers.description import CONTRACTS
from tests.providers.rig import profile, request

PUBLISHED = json.loads((CONTRACTS / "openai-published-examples.json").read_text("utf-8"))
AZURE = {
    path.stem: json.loads(path.read_text("utf-8"))["responses"]
    for path in sorted((CONTRACTS / "azure" / "examples").glob("*.json"))
}
Read = Callable[[WireProvider, Path], Any]

_CHECKPOINT = "/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions"
_JOB = "/fine_tuning/jobs/{fine_tuning_job_id}"
READERS: dict[str, Read] = {
    "POST /chat/completions": lambda p, _: p.chat(ChatRequest(model="m", messages=[])),
    "GET /files": lambda p, _: list(p.list_files()),
    "POST /files": lambda p, path: p.upload(path, "n"),
    "DELETE /files/{file_id}": lambda p, _: p.delete_file("f"),
    "GET /files/{file_id}": lambda p, _: p.retrieve_file("f"),
    f"GET {_CHECKPOINT}": lambda p, _: p.permissions("c"),
    f"POST {_CHECKPOINT}": lambda p, _: p.share("c", ["proj_new"]),
    f"DELETE {_CHECKPOINT}/{{permission_id}}": lambda p, _: p.unshare("c", "cp"),
    "POST /fine_tuning/jobs": lambda p, _: p.create_job(request()),
    "GET /fine_tuning/jobs": lambda p, _: list(p.list_jobs()),
    f"GET {_JOB}": lambda p, _: p.retrieve_job("j"),
    f"POST {_JOB}/cancel": lambda p, _: p.cancel_job("j"),
    f"GET {_JOB}/checkpoints": lambda p, _: p.checkpoints("j"),
    f"GET {_JOB}/events": lambda p, _: p.events("j"),
    f"POST {_JOB}/pause": lambda p, _: p.pause_job("j"),
    f"POST {_JOB}/resume": lambda p, _: p.resume_job("j"),
    "GET /models": lambda p, _: p.check(),
    "DELETE /models/{model}": lambda p, _: p.delete_model("m"),
    "POST /uploads": lambda p, _: p.begin_upload("n", 1),
    "POST /uploads/{upload_id}/cancel": lambda p, _: p.cancel_upload("u"),
    "POST /uploads/{upload_id}/complete": lambda p, _: p.as_file(p.end_upload("u", [], "")["file"]),
    "POST /uploads/{upload_id}/parts": lambda p, _: p.add_part("u", b"x"),
}
NEVER_ASKED = {
    "POST /fine_tuning/alpha/graders/run",
    "POST /fine_tuning/alpha/graders/validate",
    "GET /models/{model}",
}
AZURE_READERS: dict[str, Read] = {
    "get_finetuning_job": lambda p, _: p.retrieve_job("j"),
    "get_finetuning_job_checkpoints": lambda p, _: p.checkpoints("j"),
    "get_finetuning_job_events": lambda p, _: p.events("j"),
    "get_model_finetune": lambda p, _: p.check(),
    "pause_finetuning_job": lambda p, _: p.pause_job("j"),
    "post_finetuning_job": lambda p, _: p.create_job(
        JobRequest(model="m", training_file="f", token="t")
    ),
    "upload_file": lambda p, path: p.upload(path, "n"),
}


def replay(first: str, status: int = 200, build: Callable[..., WireProvider] = openai.build):
    """A provider that is answered with the example, and with an end where it asks for more."""

    def answer(call: httpx2.Request) -> httpx2.Response:
        if "after" in call.url.params:
            return httpx2.Response(200, json={"data": [], "has_more": False})
        return httpx2.Response(status, content=first.encode())

    return build(
        profile("openai", "https://api.invalid/v1", Path()),
        transport=lambda: httpx2.MockTransport(answer),
        retry=Retry(attempts=1),
    )


def closed(text: str) -> str:
    """A text that was cut, without its last half member, and with every bracket closed."""
    stack: list[str] = []
    whole, quoted, escaped = "", False, False
    for index, sign in enumerate(text):
        if quoted:
            escaped, quoted = sign == "\\" and not escaped, escaped or sign != '"'
        elif sign == '"':
            quoted = True
        elif sign in "{[":
            stack.append("}" if sign == "{" else "]")
            whole = text[: index + 1] + "".join(reversed(stack))
        elif sign in "}]":
            stack.pop()
            if not stack:
                before = text[:index].rstrip().rstrip(",")
                return before + sign
        elif sign == ",":
            before = text[:index].rstrip().rstrip(",")
            whole = before + "".join(reversed(stack))
    return whole


def tidy(text: str) -> str:
    """The same as JSON: without commas before a closing bracket."""
    import re

    return re.sub(r",(\s*[}\]])", r"\1", closed(text))


def examples() -> list[Any]:
    return [
        pytest.param(name, example, id=f"{name} {example['title']}")
        for name, found in PUBLISHED["operations"].items()
        for example in found
        if name not in NEVER_ASKED
    ]


def test_every_operation_with_an_example_is_read_or_never_asked():
    assert set(READERS) | NEVER_ASKED >= set(PUBLISHED["operations"])


@pytest.mark.parametrize(("name", "example"), examples())
def test_openais_examples_can_be_read(name: str, example: dict[str, Any], tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    text = json.dumps(example["response"]) if "response" in example else tidy(example["raw"])
    provider = replay(text)
    value = READERS[name](provider, path)
    provider.close()
    told = json.loads(text)
    if isinstance(told, dict) and str(told.get("object")) == "fine_tuning.job":
        known = openai.DIALECT.status_words.get(told["status"])
        assert (value.id, value.remote_status) == (told["id"], told["status"])
        assert value.status is known
        assert value.status is not None
        assert value.raw == told
    if isinstance(told, dict) and isinstance(told.get("data"), list) and isinstance(value, list):
        assert len(value) <= len(told["data"])


@pytest.mark.parametrize(
    ("name", "example"),
    [each for each in examples() if "raw" in each.values[1] and each.values[0] != "GET /models"],
)
def test_what_is_no_json_is_no_answer_and_nothing_worse(
    name: str, example: dict[str, Any], tmp_path: Path
):
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    provider = replay(example["raw"])
    with pytest.raises((ProviderUnreachable, OutcomeUnknown)):
        READERS[name](provider, path)
    provider.close()


def test_every_azure_example_has_a_reader():
    assert set(AZURE) == set(AZURE_READERS) | {name for name in AZURE if name.startswith("arm_")}


@pytest.mark.parametrize("version", [None, "2024-10-21", "2025-04-01-preview"])
@pytest.mark.parametrize("name", AZURE_READERS)
def test_azures_examples_can_be_read(name: str, version: str | None, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")

    def build(_: Any, **more: Any) -> WireProvider:
        options = {"api_version": version} if version else {}
        here = profile("azure", "https://resource.openai.azure.com", tmp_path, options=options)
        return azure.build(here, **more)

    for status, response in AZURE[name].items():
        provider = replay(json.dumps(response["body"]), int(status), build)
        value = AZURE_READERS[name](provider, path)
        provider.close()
        if name.endswith("_job"):
            assert value.status is azure.DIALECT.status_words[response["body"]["status"]]
        if name == "upload_file":
            assert not value.processed
        if name.endswith("events"):
            assert [event.message for event in value][-1] == "Job succeeded."


JOB = {"id": "ftjob-1", "object": "fine_tuning.job", "model": "m", "status": "running"}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "hibernating"}, None),
        ({"status": None}, None),
        ({"status": 7}, None),
        ({"error": {}}, JobStatus.RUNNING),
        ({"error": "sorry"}, JobStatus.RUNNING),
        ({"created_at": -62135596800_000}, JobStatus.RUNNING),
        ({"created_at": "yesterday", "finished_at": 1e300}, JobStatus.RUNNING),
        ({"estimated_finish": 99999999999999}, JobStatus.RUNNING),
        ({"result_files": None, "hyperparameters": None, "method": None}, JobStatus.RUNNING),
        ({"result_files": [None, {"id": "x"}], "metadata": []}, JobStatus.RUNNING),
        ({"trained_tokens": "many", "organisation_id": 3}, JobStatus.RUNNING),
        (
            {"hyperparameters": {"n_epochs": -1}, "method": {"type": "supervised"}},
            JobStatus.RUNNING,
        ),
    ],
)
def test_a_job_with_odd_fields_is_still_a_job(changes: dict[str, Any], status: JobStatus | None):
    told = JOB | changes
    provider = replay(json.dumps(told))
    job = provider.retrieve_job("ftjob-1")
    provider.close()
    assert (job.id, job.status) == ("ftjob-1", status)
    assert job.raw == told
    assert job.remote_status == (
        changes["status"]
        if isinstance(changes.get("status"), str)
        else ("" if "status" in changes else "running")
    )


def test_a_check_that_is_answered_with_a_page_says_so():
    provider = replay("<html></html>")
    check = provider.check()
    provider.close()
    assert (check.reachable, "HTML" in check.detail) == (False, True)


def test_an_empty_page_that_promises_more_is_no_list():
    provider = replay(json.dumps({"object": "list", "data": [], "has_more": True}))
    with pytest.raises(ProviderUnreachable, match="empty page"):
        list(provider.list_jobs())
    provider.close()


@pytest.mark.parametrize("name", [name for name in READERS if name != "GET /models"])
def test_a_page_that_came_with_200_is_no_answer(name: str, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text("{}\n")
    provider = replay("<!DOCTYPE html><html><body>Please sign in</body></html>")
    with pytest.raises((ProviderUnreachable, OutcomeUnknown)):
        READERS[name](provider, path)
    provider.close()


def test_events_of_a_clock_that_jumps_come_in_order_and_once():
    def event(at: int, message: str, number: int) -> dict[str, Any]:
        return {"id": f"e{number}", "created_at": at, "message": message, "level": "info"}

    shown = [event(9, "c", 1), event(5, "a", 2), event(7, "b", 3), event(5, "a", 4)]
    provider = replay(json.dumps({"data": shown, "has_more": False}))
    assert [each.message for each in provider.events("j")] == ["a", "b", "c"]
    provider.close()
