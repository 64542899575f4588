"""What is safe to repeat is repeated, a little."""

from __future__ import annotations

import httpx2
import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.errors import (
    CredentialsRefused,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnreachable,
    RateLimited,
)
from providers.retry import Retry
from tests.providers.rig import over


class Failing:
    """Raises the errors in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_three_tries_with_growing_random_pauses():
    waits: list[float] = []
    call = Failing(ProviderUnreachable(), ProviderUnreachable())
    assert Retry(sleep=waits.append)(call) == "done"
    assert call.calls == 3
    assert 0 <= waits[0] <= 0.5
    assert 0 <= waits[1] <= 1.0


def test_after_the_third_the_last_error_is_told():
    call = Failing(*[ProviderUnreachable(str(number)) for number in range(5)])
    with pytest.raises(ProviderUnreachable, match="2"):
        Retry(sleep=lambda _: None)(call)
    assert call.calls == 3


@pytest.mark.parametrize(
    "error", [ProviderRejected(), CredentialsRefused(), OutcomeUnknown(), ValueError()]
)
def test_a_no_and_an_unknown_are_not_repeated(error: Exception):
    call = Failing(error)
    with pytest.raises(type(error)):
        Retry(sleep=lambda _: None)(call)
    assert call.calls == 1


def test_the_providers_wish_is_honoured():
    waits: list[float] = []
    assert Retry(sleep=waits.append)(Failing(RateLimited(retry_after=7.0))) == "done"
    assert waits == [7.0]


def test_a_wish_beyond_our_patience_is_for_the_caller():
    call = Failing(RateLimited(retry_after=31.0))
    with pytest.raises(RateLimited):
        Retry(sleep=lambda _: None)(call)
    assert call.calls == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_chat_and_cancel_are_repeated(status: int):
    answers = [status, 200, status, 200]
    body = {"id": "ftjob-1", "status": "cancelled", "choices": [{"message": {"content": "yes"}}]}
    provider = over(lambda _: httpx2.Response(answers.pop(0), json=body))
    assert provider.chat(ChatRequest(model="m", messages=[])).text == "yes"
    assert provider.cancel_job("ftjob-1").remote_status == "cancelled"
    assert not answers


def test_a_file_is_sent_whole_each_time(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 1000)
    bodies = []

    def answer(call: httpx2.Request) -> httpx2.Response:
        bodies.append(call.read())
        return httpx2.Response(503 if len(bodies) == 1 else 200, json={"id": "file-1"})

    assert over(answer).upload(path, "rows.jsonl").id == "file-1"
    assert len(bodies) == 2
    assert all(path.read_bytes() in body for body in bodies)
