"""What we send and what we read, held against the official descriptions and examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.errors import ProviderUnreachable
from orchestrator.domain.job import Hyperparameters, JobStatus
from orchestrator.domain.provider import JobRequest
from providers import azure, openai
from providers.simulator.exchange import Exchange
from providers.wire import WireProvider
from tests.providers.description import (
    CONTRACTS,
    azure_faults,
    faults,
    operation,
)
from tests.providers.description import (
    openai as description,
)
from tests.providers.rig import Rig, over, request, simulated

PUBLISHED = json.loads((CONTRACTS / "openai-published-examples.json").read_text("utf-8"))
AZURE_EXAMPLES = CONTRACTS / "azure" / "examples"

READERS: dict[str, Callable[[WireProvider], Any]] = {
    "POST /chat/completions": lambda p: p.chat(ChatRequest(model="m", messages=[])),
    "GET /files": lambda p: p.find_file("n", 1),
    "GET /files/{file_id}": lambda p: p.retrieve_file("f"),
    "POST /fine_tuning/jobs": lambda p: p.create_job(request()),
    "GET /fine_tuning/jobs": lambda p: list(p.list_jobs()),
    "GET /fine_tuning/jobs/{fine_tuning_job_id}": lambda p: p.retrieve_job("j"),
    "POST /fine_tuning/jobs/{fine_tuning_job_id}/cancel": lambda p: p.cancel_job("j"),
    "POST /fine_tuning/jobs/{fine_tuning_job_id}/pause": lambda p: p.pause_job("j"),
    "POST /fine_tuning/jobs/{fine_tuning_job_id}/resume": lambda p: p.resume_job("j"),
    "GET /fine_tuning/jobs/{fine_tuning_job_id}/events": lambda p: p.events("j"),
    "GET /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints": lambda p: p.checkpoints("j"),
    "GET /models": lambda p: p.check(),
}


def a_whole_life(rig: Rig) -> list[Exchange]:
    """Every call the provider can make, and what came back."""
    provider = rig.provider
    provider.check()
    job = provider.create_job(
        JobRequest(
            model=rig.model,
            training_file=rig.uploaded().id,
            validation_file=rig.uploaded().id,
            token="t" * 26,
            suffix="tickets",
            seed=7,
            hyperparameters=Hyperparameters(n_epochs=2, batch_size=4, learning_rate_multiplier=0.5),
        )
    )
    list(provider.list_jobs(job.token))
    if provider.capabilities.pause:
        provider.pause_job(job.id)
        provider.resume_job(job.id)
    done = rig.finish(job.id)
    provider.events(job.id)
    provider.checkpoints(job.id)
    provider.find_file("train.jsonl", 1)
    provider.cancel_job(rig.job().id)
    ask = ChatRequest(
        model=rig.answers_as(done.tuned_model or ""),
        messages=[{"role": "user", "content": "hello"}],
        seed=1,
    )
    provider.chat(ask)
    assert rig.sim is not None
    return list(rig.sim.exchanges)


@pytest.fixture(scope="module", params=["openai", "worker"])
def exchanges(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[list[Exchange]]:
    kind = {"openai": "openai", "worker": "peft"}[request.param]
    with simulated(kind, request.param, tmp_path_factory.mktemp("life")) as rig:
        yield a_whole_life(rig)


def described(exchange: Exchange) -> dict[str, Any]:
    return operation(exchange.call.method, exchange.call.path.removeprefix("/v1"))


def test_every_request_is_as_openai_describes_it(exchanges: list[Exchange]):
    for exchange in exchanges:
        known = described(exchange)
        names = {each["name"] for each in known.get("parameters", []) if each["in"] == "query"}
        assert {name.partition("[")[0] for name in exchange.call.query} <= names
        body = known.get("requestBody", {}).get("content", {}).get("application/json")
        if body and exchange.call.body:
            assert faults(body["schema"], exchange.call.json()) == [], exchange.route


def test_every_answer_of_the_simulator_is_as_openai_describes_it(exchanges: list[Exchange]):
    for exchange in exchanges:
        assert exchange.reply is not None
        if exchange.reply.status != 200:
            continue
        schema = described(exchange)["responses"]["200"]["content"]["application/json"]["schema"]
        found = faults(schema, json.loads(exchange.reply.body))
        # `paused` is published in an example and missing from the enum.
        assert [each for each in found if "'paused'" not in each] == [], exchange.route


def test_azures_answers_break_its_schema_only_as_the_service_was_seen_to(tmp_path: Path):
    with simulated("azure", "azure", tmp_path) as rig:
        told = a_whole_life(rig)
    jobs = [each for each in told if each.route in {"create_job", "get_job"}]
    for exchange in jobs:
        assert exchange.reply is not None
        found = azure_faults("FineTuningJob", json.loads(exchange.reply.body))
        assert set(found) <= {"$.organization_id", "$.result_files", "$.status"}
    for route, name in {"events": "Event", "checkpoints": "Checkpoint"}.items():
        page = next(each.reply for each in told if each.route == route)
        assert page is not None
        for item in json.loads(page.body)["data"]:
            assert azure_faults(f"FineTuningJob{name}", item) == []


@pytest.mark.parametrize("table", [openai.DIALECT.status_words, azure.DIALECT.status_words])
def test_every_described_word_has_a_meaning(table: dict[str, JobStatus]):
    words = description()["components"]["schemas"]["FineTuningJob"]["properties"]["status"]["enum"]
    assert set(words) <= set(table)


def published() -> list[Any]:
    return [
        pytest.param(name, example, id=f"{name} {example['title']}")
        for name, examples in PUBLISHED["operations"].items()
        if name in READERS
        for example in examples
    ]


@pytest.mark.parametrize(("name", "example"), published())
def test_openais_own_examples_can_be_read(name: str, example: dict[str, Any]):
    text = json.dumps(example["response"]) if "response" in example else example["raw"]
    answer = httpx2.Response(200, content=text.encode())
    provider = over(lambda _: answer)
    if name == "POST /fine_tuning/jobs" and "response" not in example:
        read: Callable[[], Any] = partial(provider.retrieve_job, "j")
    else:
        read = partial(READERS[name], provider)
    try:
        value = read()
    except ProviderUnreachable:
        # Not JSON as published, or a list that promises more and never sends it.
        assert "response" not in example or example["response"].get("has_more")
        return
    if "fine_tuning/jobs" in name and hasattr(value, "status"):
        assert value.id.startswith("ftjob-")
        assert value.status is not None


@pytest.mark.parametrize("path", sorted(AZURE_EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_azures_own_examples_can_be_read(path: Path):
    for response in json.loads(path.read_text("utf-8"))["responses"].values():
        provider = azure_over(httpx2.Response(200, json=response["body"]))
        read = {
            "get_finetuning_job_events": lambda p: p.events("j"),
            "get_finetuning_job_checkpoints": lambda p: p.checkpoints("j"),
            "upload_file": lambda p: p.retrieve_file("f"),
            "get_model_finetune": lambda p: p.check(),
        }.get(path.stem, lambda p: p.retrieve_job("j"))
        value = read(provider)
        if path.stem.endswith(("_job", "_jobs")):
            assert value.status is not None
        if path.stem == "upload_file":
            assert not value.processed
        if path.stem.endswith("events"):
            assert [event.message for event in value][-1] == "Job succeeded."


def azure_over(answer: httpx2.Response) -> WireProvider:
    from tests.providers.rig import profile

    return azure.build(
        profile("azure", "https://resource.openai.azure.com", Path()),
        transport=lambda: httpx2.MockTransport(lambda _: answer),
    )
