"""Foreign errors become ours at the border, and hold no key."""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.errors import (
    CredentialsRefused,
    Forbidden,
    FtctlError,
    ProviderRejected,
    ProviderUnreachable,
    RateLimited,
    RemoteNotFound,
)
from orchestrator.domain.profile import Profile
from providers.connection import Address, required_key
from providers.wire import WireProvider
from tests.providers.rig import over, request

CANARY = "sk-canary-7f3d9b1e5a"


def refusing(status: int, *, headers: dict[str, str] | None = None, **error: object):
    body = {"error": {"message": "no", "type": None, "param": None, "code": None, **error}}
    return over(lambda _: httpx2.Response(status, json=body, headers=headers))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, ProviderUnreachable),
        (400, ProviderRejected),
        (401, CredentialsRefused),
        (403, Forbidden),
        (404, RemoteNotFound),
        (407, ProviderUnreachable),
        (408, ProviderUnreachable),
        (409, ProviderRejected),
        (413, ProviderRejected),
        (422, ProviderRejected),
        (429, RateLimited),
        (500, ProviderUnreachable),
        (503, ProviderUnreachable),
    ],
)
def test_each_status_has_one_meaning(status: int, error: type[FtctlError]):
    with pytest.raises(error) as caught:
        refusing(status).retrieve_job("ftjob-1")
    assert type(caught.value) is error
    assert caught.value.__cause__ is not None


def test_the_providers_own_words_are_passed_on():
    with pytest.raises(ProviderRejected) as caught:
        refusing(400, message="n_epochs\n is too large", code="bounds").retrieve_job("j")
    assert caught.value.message == "here said no: n_epochs is too large"
    assert (caught.value.status, caught.value.code) == (400, "bounds")


def test_a_refused_key_names_its_variable():
    with pytest.raises(CredentialsRefused) as caught:
        refusing(401).check()
    assert "TEST_KEY" in caught.value.message
    assert caught.value.hint == "export TEST_KEY=..."


def test_no_quota_is_a_no_and_not_a_later():
    calls = []

    def answer(call: httpx2.Request) -> httpx2.Response:
        calls.append(call)
        error = {"message": "You exceeded your quota", "code": "insufficient_quota"}
        return httpx2.Response(429, json={"error": error})

    with pytest.raises(ProviderRejected):
        over(answer).check()
    assert len(calls) == 1


@pytest.mark.parametrize("value", ["40", "40.0", "date", ""])
def test_how_long_to_wait_comes_in_seconds_or_as_a_date(value: str):
    if value == "date":
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    with pytest.raises(RateLimited) as caught:
        refusing(429, headers={"retry-after": value} if value else None).retrieve_job("j")
    if value:
        assert caught.value.retry_after == pytest.approx(40, abs=3)
    else:
        assert caught.value.retry_after is None


def test_a_404_that_the_api_did_not_write_is_no_absence():
    provider = over(lambda _: httpx2.Response(404, html="<html>nginx</html>"))
    with pytest.raises(ProviderUnreachable) as caught:
        provider.retrieve_job("ftjob-1")
    assert "base_url" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"<!DOCTYPE html><p>sign in", "HTML"),
        (b"plain", "something"),
        (b"", "something"),
        (b"[]", "something"),
        (b"null", "something"),
        (b"\xff\xfe", "something"),
        (b"[" * 100_000, "something"),
    ],
)
def test_what_is_not_json_is_no_answer(body: bytes, word: str):
    with pytest.raises(ProviderUnreachable) as caught:
        over(lambda _: httpx2.Response(200, content=body)).retrieve_job("ftjob-1")
    assert f"{word}, not JSON" in caught.value.message


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx2.ConnectError("refused"), "cannot be reached: refused"),
        (httpx2.ReadTimeout("x"), "no answer came in time"),
        (httpx2.ReadError("reset"), "the connection broke"),
        (httpx2.RemoteProtocolError("Server disconnected"), "the connection broke"),
        (httpx2.RemoteProtocolError("illegal status line"), "cannot be read: illegal status line"),
        (httpx2.DecodingError("not gzip"), "cannot be read: not gzip"),
    ],
)
def test_only_who_was_not_reached_cannot_be_reached(error: Exception, said: str):
    def fail(_: httpx2.Request) -> httpx2.Response:
        raise error

    with pytest.raises(ProviderUnreachable) as caught:
        over(fail).retrieve_job("ftjob-1")
    assert said in caught.value.message
    assert ("cannot be reached" in caught.value.message) == isinstance(error, httpx2.ConnectError)


def test_half_characters_and_nan_do_not_come_in():
    body = b'{"id": "ftjob-1", "status": "queued", "model": "\\ud800x", "trained_tokens": NaN}'
    job = over(lambda _: httpx2.Response(200, content=body)).retrieve_job("ftjob-1")
    assert job.model == "\N{REPLACEMENT CHARACTER}x"
    assert job.trained_tokens is None


def test_check_tells_when_nobody_answers():
    check = refusing(503).check()
    assert not check.reachable
    assert "in trouble" in check.detail


def echoing(status: int):
    """A host that repeats the key wherever it can."""

    def answer(call: httpx2.Request) -> httpx2.Response:
        key = call.headers["authorization"]
        error = {"message": f"Incorrect key: {key}", "code": key, "type": key, "param": key}
        body = {"error": error, "id": "ftjob-1", "model": key, "status": key, "choices": []}
        return httpx2.Response(status, json=body, headers={"retry-after": "60"})

    return over(answer, key=CANARY)


def everything(provider: WireProvider):
    return [
        provider.check,
        lambda: provider.retrieve_job("j"),
        lambda: provider.create_job(request()),
        lambda: list(provider.list_jobs()),
        lambda: provider.events("j"),
        lambda: provider.cancel_job("j"),
        lambda: provider.retrieve_file("f"),
        lambda: provider.chat(ChatRequest(model="m", messages=[])),
    ]


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 409, 422, 429, 500])
def test_no_error_result_or_log_holds_the_key(status: int, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    provider = echoing(status)
    for call in everything(provider):
        try:
            shown = repr(call())
        except FtctlError as error:
            chain = "".join(traceback.format_exception(error))
            shown = f"{error!r} {error} {error.hint} {vars(error)} {chain}"
        assert CANARY not in shown
    assert CANARY not in caplog.text
    provider.close()


@pytest.mark.parametrize("error", [httpx2.ReadTimeout, httpx2.ConnectError])
def test_a_broken_connection_tells_no_key(error: type[httpx2.TransportError]):
    def break_down(call: httpx2.Request) -> httpx2.Response:
        raise error("broke", request=call)

    provider = over(break_down, key=CANARY)
    with pytest.raises(ProviderUnreachable) as caught:
        provider.retrieve_job("j")
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_no_value_of_ours_shows_the_key():
    profile = Profile(name="p", kind="openai", api_key=CANARY)
    address = Address(url="https://h/v1", key=CANARY, proxy=f"http://u:{CANARY}@proxy")
    provider = over(lambda _: httpx2.Response(500), key=CANARY)
    assert CANARY not in repr((profile, address, vars(provider)))


def test_a_key_that_was_copied_badly_is_not_shown():
    for bad in ("sk-caf\u00e9-0123456789", "sk with spaces", "sk-\n-newline"):
        with pytest.raises(FtctlError) as caught:
            required_key(Profile(name="p", kind="openai", api_key=bad, api_key_env="K"))
        assert bad not in str(caught.value)
