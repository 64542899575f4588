"""The host that ships: its memory, its faults, its steering."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx2
import pytest

import providers
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import CredentialsRefused, LocalStateError, UsageError
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.provider import JobRequest
from providers.simulator import Simulator, serve_simulator
from tests.providers.rig import KEY, inside, over, profile, simulated, write_rows


def test_a_later_command_sees_the_job_go_on(tmp_path: Path):
    with inside(tmp_path) as rig:
        job = rig.job()
        account = rig.provider.account
    with inside(tmp_path) as later:
        assert later.provider.account == account
        assert later.provider.retrieve_job(job.id).status is JobStatus.QUEUED
        assert later.finish(job.id).status is JobStatus.SUCCEEDED
    memory = tmp_path / "simulator.json"
    assert memory.stat().st_mode & 0o777 == 0o600


def test_many_threads_make_as_many_jobs(tmp_path: Path):
    with inside(tmp_path) as rig:
        rig.training_file = rig.uploaded().id
        threads = [threading.Thread(target=rig.job) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(rig.provider.list_jobs())) == 8


def test_a_damaged_memory_is_named(tmp_path: Path):
    (tmp_path / "simulator.json").write_text("{")
    provider = providers.build(profile("simulator", None, tmp_path))
    with pytest.raises(LocalStateError, match=r"simulator\.json"):
        provider.retrieve_job("j")
    provider.close()


def test_every_page_of_a_long_list_is_read(tmp_path: Path):
    with simulated("openai", "openai", tmp_path) as rig:
        assert rig.sim is not None
        rig.training_file = rig.uploaded().id
        made = {rig.job().id for _ in range(105)}
        assert {job.id for job in rig.provider.list_jobs()} == made
        assert rig.sim.count("list_jobs") == 2


def test_an_order_is_carried_out_once(tmp_path: Path):
    with simulated("openai", "openai", tmp_path) as rig:
        assert rig.sim is not None
        job = rig.job()
        rig.sim.order_fault("get_job", "unknown_status", word="hibernating")
        told = rig.provider.retrieve_job(job.id)
        assert (told.status, told.remote_status) == (None, "hibernating")
        assert rig.provider.retrieve_job(job.id).status is not None


def test_a_job_can_be_ordered_to_fail(tmp_path: Path):
    with simulated("openai", "openai", tmp_path) as rig:
        assert rig.sim is not None
        rig.sim.order_fault("train", "fail")
        failed, fine = rig.job(), rig.job()
        assert rig.finish(failed.id).status is JobStatus.FAILED
        assert rig.finish(fine.id).status is JobStatus.SUCCEEDED


def test_an_order_nobody_can_carry_out_is_refused():
    with Simulator() as sim:
        with pytest.raises(ValueError, match="no route"):
            sim.order_fault("teatime", "slow")
        with pytest.raises(ValueError, match="burn"):
            sim.order_fault("chat", "burn")


def test_an_unknown_dialect_is_refused():
    with pytest.raises(UsageError, match="azure, azure-dated, bare, forgetful, openai, worker"):
        serve_simulator(dialect="french")


def test_a_wrong_key_is_refused(tmp_path: Path):
    with Simulator(key="sk-another-key-0123") as sim:
        provider = providers.build(profile("openai", sim.url, tmp_path))
        with pytest.raises(CredentialsRefused) as caught:
            provider.retrieve_job("j")
        assert KEY not in str(caught.value)
        provider.close()


def test_time_is_handed_in(tmp_path: Path):
    clock = ManualClock()
    with Simulator(clock=clock) as sim:
        provider = providers.build(profile("openai", sim.url, tmp_path))
        file = provider.upload(write_rows(tmp_path), "rows.jsonl")
        assert file.created_at == clock.now()
        provider.close()


def test_rehearsals_steer_over_http(tmp_path: Path):
    with Simulator("azure") as sim, httpx2.Client(trust_env=False) as client:
        root = sim.url.removesuffix("/openai/v1")
        headers = {"authorization": "Bearer any"}

        def steer(verb: str, **body: object) -> httpx2.Response:
            return client.post(f"{root}/_simulator/{verb}", json=body, headers=headers)

        assert client.get(f"{root}/health").json()["status"] == "ok"
        assert steer("faults", route="list_models", fault="rate_limited").status_code == 200
        assert client.get(f"{sim.url}/models", headers=headers).status_code == 429
        assert client.get(f"{sim.url}/models", headers=headers).status_code == 200
        assert steer("deployments", name="d", model="m").status_code == 200
        assert steer("advance", looks=2).status_code == 200
        assert steer("tea").status_code == 404
        assert client.get(f"{root}/_simulator/ledger", headers=headers).json() == {"jobs": []}


def test_it_serves_until_it_is_stopped():
    ready = threading.Event()
    urls: list[str] = []

    class Interrupted(Exception):
        pass

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()
        raise Interrupted

    with pytest.raises(Interrupted):
        serve_simulator(on_ready=on_ready)
    assert urls[0].startswith("http://127.0.0.1:")
    with pytest.raises(httpx2.ConnectError), httpx2.Client(trust_env=False) as client:
        client.get(urls[0])


def test_the_same_key_makes_the_same_job_only_with_the_same_body(tmp_path: Path):
    from orchestrator.domain.errors import ProviderRejected

    with simulated("peft", "worker", tmp_path) as rig:
        rig.job(token="t" * 26)
        with pytest.raises(ProviderRejected) as caught:
            rig.provider.create_job(
                JobRequest(model="smollm2", training_file=rig.training_file or "", token="t" * 26)
            )
        assert caught.value.status == 422


def test_nothing_is_told_of_a_host_that_never_was():
    assert not over(lambda _: httpx2.Response(500)).check().reachable
