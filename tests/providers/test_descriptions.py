"""What we send and what we read, held against the official descriptions and examples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.jobs.job import Hyperparameters, JobOptions, JobStatus, Method, Wandb
from orchestrator.domain.provider import JobRequest
from providers import azure, openai
from providers.simulator import files
from providers.simulator.exchange import Exchange
from providers.wire import WireProvider
from tests.providers.description import azure_faults, faults, operation
from tests.providers.description import openai as description
from tests.providers.rig import Rig, simulated

GRADER = {
    "type": "string_check",
    "name": "same",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
KNOBS = Hyperparameters(n_epochs=2, batch_size=4, learning_rate_multiplier=0.5)
ASKED: dict[Method, dict[str, Any]] = {
    Method.SUPERVISED: {"hyperparameters": KNOBS},
    Method.DPO: {"hyperparameters": replace(KNOBS, beta=0.2)},
    Method.REINFORCEMENT: {
        "hyperparameters": replace(
            KNOBS,
            compute_multiplier=1.5,
            eval_interval=5,
            eval_samples=2,
            reasoning_effort="high",
        ),
        "options": JobOptions(
            grader=GRADER,
            metadata={"team": "search"},
            wandb=Wandb(project="p", name="n", entity="e", tags=("a", "b")),
        ),
    },
}


def a_whole_life(rig: Rig) -> list[Exchange]:
    """Every call the provider can make, and what came back."""
    provider = rig.provider
    assert isinstance(provider, WireProvider)
    can = provider.capabilities
    provider.check()
    file, validation = rig.uploaded().id, rig.uploaded().id
    jobs = [
        provider.create_job(
            JobRequest(
                model=rig.model,
                training_file=file,
                validation_file=validation,
                token=str(method)[0] * 26,
                suffix="tickets",
                seed=7,
                method=method,
                **ASKED[method],
            )
        )
        for method in Method
        if method in can.methods
    ]
    job = jobs[0]
    list(provider.list_jobs(job.token))
    if can.pause:
        provider.pause_job(job.id)
        provider.resume_job(job.id)
    done = rig.finish(job.id)
    provider.events(job.id)
    point = provider.checkpoints(job.id)[-1]
    provider.find_file("train.jsonl", 1)
    provider.cancel_job(rig.job().id)
    ask = ChatRequest(
        model=rig.answers_as(done.tuned_model or ""),
        messages=[{"role": "user", "content": "hello"}],
        seed=1,
    )
    provider.chat(ask)
    provider.chat(replace(ask, temperature=None))
    list(provider.list_files())
    provider.retrieve_file(file)
    provider.read_file(done.result_files[0])
    if can.checkpoint_sharing:
        (permission,) = provider.share(point.model, ["proj_a"])
        provider.unshare(point.model, permission.id)
    if can.delete_model:
        provider.delete_model(done.tuned_model or "")
    if can.delete_job:
        provider.delete_job(job.id)
    if can.parts_above:
        upload = provider.begin_upload("cancelled.jsonl", 3)
        provider.cancel_upload(upload["id"])
        provider.capabilities = replace(can, parts_above=64, part_bytes=256)
        provider.upload(rig.rows, "large.jsonl")
    provider.delete_file(file)
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
        bodies = known.get("requestBody", {}).get("content", {})
        if "application/json" in bodies and exchange.call.body:
            schema = bodies["application/json"]["schema"]
            assert faults(schema, exchange.call.json()) == [], exchange.route
        if "multipart/form-data" in bodies:
            fields = {
                name: content.decode("utf-8", "replace")
                for name, (_, content) in files.form(exchange.call).items()
            }
            assert faults(bodies["multipart/form-data"]["schema"], fields) == [], exchange.route


def test_every_operation_that_is_described_is_used_or_left_out_on_purpose(tmp_path: Path):
    with simulated("openai", "openai", tmp_path) as rig:
        used = {id(described(exchange)) for exchange in a_whole_life(rig)}
    unused = {
        f"{method.upper()} {path}"
        for path, item in description()["paths"].items()
        for method, operation in item.items()
        if method in {"get", "post", "delete"} and id(operation) not in used
    }
    assert unused == {
        # Their results are what `ftctl` computes here; the alpha routes promise nothing.
        "POST /fine_tuning/alpha/graders/run",
        "POST /fine_tuning/alpha/graders/validate",
        # The list of models says the same.
        "GET /models/{model}",
    }


def test_every_answer_of_the_simulator_is_as_openai_describes_it(exchanges: list[Exchange]):
    for exchange in exchanges:
        assert exchange.reply is not None
        if exchange.reply.status != 200:
            continue
        answers = described(exchange)["responses"]["200"]["content"]
        if exchange.route == "file_content":
            continue
        schema = answers["application/json"]["schema"]
        found = faults(schema, json.loads(exchange.reply.body))
        # `paused` is published in an example and missing from the enum.
        assert [each for each in found if "'paused'" not in each] == [], exchange.route


def test_azures_answers_break_its_schema_only_as_the_service_was_seen_to(tmp_path: Path):
    with simulated("azure", "azure", tmp_path) as rig:
        told = a_whole_life(rig)
    jobs = [
        each
        for each in told
        if each.route in {"create_job", "get_job"} and each.reply and each.reply.status < 300
    ]
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
