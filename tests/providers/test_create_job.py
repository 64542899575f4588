"""One POST, whatever happens; and never a wrong word about what became of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

import providers
from orchestrator.domain.errors import (
    CredentialsRefused,
    FtctlError,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnreachable,
    RemoteNotFound,
)
from orchestrator.domain.ids import new_token
from orchestrator.domain.provider import JobRequest
from providers.simulator import Simulator
from tests.providers.rig import over, profile, request, simulated

ENVELOPE = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "x"}}

AMBIGUOUS: dict[str, tuple[str, dict[str, Any], int]] = {
    "cut before it took effect": ("drop_before", {}, 0),
    "cut after it took effect": ("drop_after_accept", {}, 1),
    "500 before": ("error_500", {}, 0),
    "500 after": ("error_500_after_accept", {}, 1),
    "502 after": ("error_500_after_accept", {"status": 502}, 1),
    "408": ("refuse", {"status": 408}, 0),
    "409": ("refuse", {"status": 409}, 0),
    "429": ("rate_limited", {}, 0),
    "half an answer": ("half_body", {}, 1),
    "a page": ("html_200", {}, 0),
    "no id": ("no_id", {}, 1),
    "too late": ("slow", {"seconds": 5.0}, 1),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
@pytest.mark.parametrize(("kind", "dialect"), [("openai", "openai"), ("azure", "azure")])
def test_an_unclear_answer_is_an_unknown_outcome_after_one_post(
    case: str, kind: str, dialect: str, tmp_path: Path
):
    fault, options, jobs = AMBIGUOUS[case]
    with simulated(kind, dialect, tmp_path) as rig:
        assert rig.sim is not None
        file = rig.uploaded().id
        token = new_token()
        rig.sim.order_fault("create_job", fault, **options)
        impatient = providers.build(profile(kind, rig.sim.url, tmp_path, timeout=0.3))
        with pytest.raises(OutcomeUnknown) as caught:
            impatient.create_job(JobRequest(model=rig.model, training_file=file, token=token))
        impatient.close()
        assert caught.value.__cause__ is not None
        assert rig.sim.count("create_job") == 1
        assert len(rig.sim.ledger) == jobs
        found = [job for job in rig.provider.list_jobs(token) if job.token == token]
        assert len(found) == jobs


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ProviderRejected),
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (404, RemoteNotFound),
        (413, ProviderRejected),
        (422, ProviderRejected),
    ],
)
def test_the_apis_own_no_is_clear(status: int, error: type[FtctlError], tmp_path: Path):
    with simulated("openai", "openai", tmp_path) as rig:
        assert rig.sim is not None
        rig.sim.order_fault("create_job", "refuse", status=status, code="because", message="no.")
        with pytest.raises(error):
            rig.job()
        assert rig.sim.count("create_job") == 1
        assert not rig.sim.ledger


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
@pytest.mark.parametrize("body", [b"<html>no</html>", b"{}", b'{"error": {}}', b"", b"[1]"])
def test_a_no_that_the_api_did_not_write_is_not_clear(status: int, body: bytes):
    calls: list[httpx2.Request] = []
    provider = over(_answering(httpx2.Response(status, content=body), calls))
    with pytest.raises(OutcomeUnknown):
        provider.create_job(request())
    assert len(calls) == 1


def test_a_closed_account_gets_a_way_out(tmp_path: Path):
    with simulated("openai", "openai", tmp_path) as rig:
        assert rig.sim is not None
        rig.sim.order_fault(
            "create_job",
            "refuse",
            status=403,
            code="training_not_available",
            message="OpenAI is winding down the fine-tuning platform ...",
        )
        with pytest.raises(ProviderRejected) as caught:
            rig.job()
    assert caught.value.code == "training_not_available"
    assert caught.value.status == 403
    assert "wound down" in caught.value.message
    assert "--provider local" in (caught.value.hint or "")


def test_a_port_nobody_listens_on_was_surely_not_reached(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    provider = providers.build(profile("openai", f"http://127.0.0.1:{port}/v1", tmp_path))
    with pytest.raises(ProviderUnreachable) as caught:
        provider.create_job(request())
    assert "refused" in caught.value.message
    provider.close()


@pytest.mark.parametrize("error", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError])
def test_before_the_connection_stands_nothing_was_sent(error: type[httpx2.TransportError]):
    provider = over(_raising(error("name or service not known")))
    with pytest.raises(ProviderUnreachable):
        provider.create_job(request())


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ReadError,
        httpx2.ReadTimeout,
        httpx2.WriteError,
        httpx2.WriteTimeout,
        httpx2.RemoteProtocolError,
        httpx2.DecodingError,
        RuntimeError,
        ValueError,
    ],
)
def test_once_it_stands_anything_may_have_happened(error: type[Exception]):
    calls: list[httpx2.Request] = []
    provider = over(_raising(error("gone"), calls))
    with pytest.raises(OutcomeUnknown):
        provider.create_job(request())
    assert len(calls) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"id": 7}', b'{"id": ""}', b'"ftjob-1"', b'{"id": "ftj'])
def test_a_yes_without_a_job_is_no_yes(body: bytes):
    provider = over(_answering(httpx2.Response(200, content=body), []))
    with pytest.raises(OutcomeUnknown):
        provider.create_job(request())


def test_the_post_travels_on_a_connection_of_its_own():
    made: list[httpx2.MockTransport] = []
    answer = httpx2.Response(200, json={"id": "ftjob-1", "status": "queued", "data": []})

    def transport() -> httpx2.BaseTransport:
        made.append(httpx2.MockTransport(lambda _: answer))
        return made[-1]

    from providers.openai import build

    provider = build(profile("openai", "https://api.invalid/v1", Path()), transport=transport)
    provider.check()
    provider.check()
    assert len(made) == 1
    provider.create_job(request())
    provider.create_job(request())
    assert len(made) == 3
    provider.close()


def test_the_token_travels_as_metadata_and_to_the_worker_as_key(tmp_path: Path):
    with simulated("peft", "worker", tmp_path) as rig:
        assert rig.sim is not None
        first = rig.job(token="t" * 26)
        call = next(each.call for each in rig.sim.exchanges if each.route == "create_job")
        assert call.headers["idempotency-key"] == "t" * 26
        assert call.json()["metadata"] == {"ftctl_token": "t" * 26}
        assert rig.job(token="t" * 26).id == first.id
        assert len(rig.sim.ledger) == 1


def test_openai_gets_no_key_it_would_not_honour(tmp_path: Path):
    with simulated("openai", "openai", tmp_path) as rig:
        assert rig.sim is not None
        rig.job(suffix="mine")
        call = next(each.call for each in rig.sim.exchanges if each.route == "create_job")
        assert "idempotency-key" not in call.headers
        assert call.json()["suffix"] == "mine"


def test_a_filter_that_finds_nothing_is_not_believed():
    """A provider may index metadata late; the whole list is what counts."""
    job = {"id": "ftjob-1", "status": "queued", "metadata": {"ftctl_token": "mine"}}

    def answer(call: httpx2.Request) -> httpx2.Response:
        data = [] if "metadata[ftctl_token]" in call.url.params else [job]
        return httpx2.Response(200, json={"data": data, "has_more": False})

    assert [found.id for found in over(answer).list_jobs("mine")] == ["ftjob-1"]


def test_a_simulator_that_is_gone_was_not_asked(tmp_path: Path):
    with Simulator() as sim:
        url = sim.url
    provider = providers.build(profile("simulator", url, tmp_path))
    with pytest.raises(ProviderUnreachable):
        provider.create_job(request())
    provider.close()


def _answering(
    answer: httpx2.Response, calls: list[httpx2.Request]
) -> Callable[[httpx2.Request], httpx2.Response]:
    def handle(call: httpx2.Request) -> httpx2.Response:
        calls.append(call)
        return answer

    return handle


def _raising(
    error: Exception, calls: list[httpx2.Request] | None = None
) -> Callable[[httpx2.Request], httpx2.Response]:
    def handle(call: httpx2.Request) -> httpx2.Response:
        if calls is not None:
            calls.append(call)
        raise error

    return handle
