"""Azure's dated surface and Entra ID: the same provider through another door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft4Validator

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    MissingExtra,
    ProviderRejected,
)
from orchestrator.domain.jobs.job import Hyperparameters, JobOptions, JobStatus, Method
from orchestrator.domain.provider import JobRequest
from providers import entra
from providers.azure import AzureProvider, build
from providers.entra import AzureIdentity, EntraTokens
from providers.simulator import Simulator
from providers.simulator.exchange import Exchange
from tests.providers.description import CONTRACTS
from tests.providers.rig import KEY, profile, request, write_rows

HERE = "https://resource.openai.azure.com"
VERSION = "2024-10-21"
SWAGGER: dict[str, Any] = json.loads(
    (CONTRACTS / "azure" / "azure-openai-authoring-2024-10-21.subset.swagger.json").read_text()
)
TOKEN = "0123456789abcdefghjkmnpqrs"


@dataclass
class Token:
    token: str
    expires_on: int


@dataclass
class Login:
    """A credential that gives another token each time, for an hour."""

    clock: ManualClock
    given: int = 0
    refuses: bool = False

    def get_token(self, *scopes: str) -> Token:
        assert scopes == (entra.SCOPE,)
        if self.refuses:
            raise CredentialsRefused("Entra ID gives no token: nobody is logged in")
        self.given += 1
        ends = self.clock.now() + timedelta(hours=1)
        return Token(f"entra-token-{self.given:04d}", int(ends.timestamp()))


@pytest.fixture
def dated(tmp_path: Path) -> Iterator[tuple[Simulator, AzureProvider]]:
    with Simulator("azure-dated") as sim:
        provider = build(profile("azure", sim.url, tmp_path, options={"api_version": VERSION}))
        yield sim, provider
        provider.close()


def a_whole_life(sim: Simulator, provider: AzureProvider, rows: Path) -> list[Exchange]:
    file = provider.upload(rows, "train.jsonl")
    for _ in range(3):
        file = provider.retrieve_file(file.id)
    job = provider.create_job(
        JobRequest(
            model="gpt-4.1-mini-2025-04-14",
            training_file=file.id,
            validation_file=file.id,
            token=TOKEN,
            suffix="tickets",
            seed=7,
            hyperparameters=Hyperparameters(n_epochs=2, batch_size=4, learning_rate_multiplier=0.5),
        )
    )
    assert job.token == TOKEN
    assert provider.retrieve_job(job.id).token == TOKEN
    assert [each.id for each in provider.list_jobs(TOKEN) if each.token == TOKEN] == [job.id]
    other = provider.create_job(request_for(file.id))
    assert provider.cancel_job(other.id).status is JobStatus.CANCELLED
    sim.advance(10)
    done = provider.retrieve_job(job.id)
    assert (done.status, done.hyperparameters["n_epochs"]) == (JobStatus.SUCCEEDED, 2)
    assert provider.events(job.id)
    assert provider.checkpoints(job.id)
    assert provider.find_file("train.jsonl", rows.stat().st_size)
    assert b"train_loss" in provider.read_file(done.result_files[0])
    assert provider.check().reachable
    provider.delete_file(file.id)
    provider.delete_job(other.id)
    provider.delete_job(other.id)
    sim.deploy("mine", done.tuned_model or "")
    said = ChatRequest(model="mine", messages=[{"role": "user", "content": "hello"}])
    assert provider.chat(said).text == "HELLO"
    return list(sim.exchanges)


def request_for(file: str) -> JobRequest:
    return JobRequest(model="gpt-4.1-mini-2025-04-14", training_file=file, token="z" * 26)


def described(exchange: Exchange) -> tuple[dict[str, Any], dict[str, str]]:
    import re

    path = exchange.call.path.removeprefix("/openai")
    for template, item in SWAGGER["paths"].items():
        found = re.fullmatch(re.sub(r"\{[^}]+\}", "([^/]+)", template), path)
        if found and exchange.call.method.lower() in item:
            return item[exchange.call.method.lower()], {}
    raise AssertionError(f"{exchange.call.method} {path} is not described")


def test_every_request_is_as_the_dated_description_has_it(
    dated: tuple[Simulator, AzureProvider], tmp_path: Path
):
    for exchange in a_whole_life(*dated, write_rows(tmp_path)):
        if exchange.route == "chat":
            assert exchange.call.path == "/openai/deployments/mine/chat/completions"
            continue
        operation, _ = described(exchange)
        known = {each.get("name", "api-version") for each in operation["parameters"]}
        assert set(exchange.call.query) <= known, exchange.route
        assert exchange.call.query["api-version"] == VERSION
        assert exchange.call.headers["api-key"] == KEY
        assert "authorization" not in exchange.call.headers
        if exchange.route == "create_job":
            schema = {
                "$ref": "#/definitions/FineTuningJobCreation",
                "definitions": SWAGGER["definitions"],
            }
            body = exchange.call.json()
            assert list(Draft4Validator(schema).iter_errors(body)) == []
            assert set(body) <= set(schema_names("FineTuningJobCreation"))
        assert exchange.reply is not None
        status = str(exchange.reply.status)
        # The description promises `default` for every error.
        assert status in operation["responses"] or int(status) >= 400, exchange.route


def schema_names(name: str) -> list[str]:
    return list(SWAGGER["definitions"][name]["properties"])


def test_both_surfaces_are_one_account(tmp_path: Path):
    old = build(profile("azure", HERE, tmp_path, options={"api_version": VERSION}))
    new = build(profile("azure", f"{HERE}/openai/v1/", tmp_path))
    assert old.account == new.account
    assert old.capabilities.methods == {Method.SUPERVISED}
    assert not old.capabilities.metadata
    assert old.capabilities.free_suffix == 13


def test_the_surface_of_the_envelope_names_what_was_wrong(
    dated: tuple[Simulator, AzureProvider],
):
    with pytest.raises(ProviderRejected) as caught:
        dated[1].create_job(request())
    assert caught.value.code == "invalidPayload"
    assert caught.value.param == "training_file"


@pytest.mark.parametrize(
    ("version", "asked", "sent"),
    [
        (None, "Developer", "Developer"),
        (None, None, "GlobalStandard"),
        ("2025-04-01-preview", "Developer", "developerTier"),
        ("2025-04-01-preview", None, "globalstandard"),
        (VERSION, None, None),
    ],
)
def test_the_training_type_is_said_as_the_surface_says_it(
    version: str | None, asked: str | None, sent: str | None, tmp_path: Path
):
    bodies: list[dict[str, Any]] = []

    def answer(call: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(call.read()))
        return httpx2.Response(201, json={"id": "ft-1", "status": "pending"})

    options = {"training_type": "GlobalStandard", **({"api_version": version} if version else {})}
    provider = build(
        profile("azure", HERE, tmp_path, options=options),
        transport=lambda: httpx2.MockTransport(answer),
    )
    job = JobRequest(
        model="m", training_file="f", token=TOKEN, options=JobOptions(training_type=asked)
    )
    assert provider.create_job(job).status is JobStatus.QUEUED
    provider.close()
    assert bodies[0].get("trainingType") == sent


@pytest.mark.parametrize(
    ("options", "word"),
    [({"api_version": "latest"}, "api_version"), ({"auth": "password"}, "auth")],
)
def test_an_option_that_makes_no_sense_is_refused(
    options: dict[str, str], word: str, tmp_path: Path
):
    with pytest.raises(ConfigurationError, match=word):
        build(profile("azure", HERE, tmp_path, options=options))


def entra_provider(
    login: Login,
    tmp_path: Path,
    answer: Callable[[httpx2.Request], httpx2.Response],
    **options: str,
) -> tuple[AzureProvider, list[httpx2.Request]]:
    seen: list[httpx2.Request] = []

    def handle(call: httpx2.Request) -> httpx2.Response:
        seen.append(call)
        return answer(call)

    provider = AzureProvider(
        profile("azure", HERE, tmp_path, api_key=None, options={"auth": "entra", **options}),
        transport=lambda: httpx2.MockTransport(handle),
        credential=login,
    )
    return provider, seen


@pytest.mark.parametrize("options", [{}, {"api_version": VERSION}])
def test_entra_gives_every_request_a_token_that_is_good_now(
    options: dict[str, str], tmp_path: Path
):
    clock = ManualClock()
    tokens = EntraTokens(credential=Login(clock), now=clock.now)
    assert tokens.token() == tokens.token() == "entra-token-0001"
    clock.sleep(3600 - entra.MARGIN + 1)
    assert tokens.token() == "entra-token-0002"
    models = httpx2.Response(200, json={"data": []})
    provider, seen = entra_provider(Login(ManualClock()), tmp_path, lambda _: models, **options)
    provider.check()
    provider.close()
    assert seen[0].headers["authorization"].startswith("Bearer entra-token-")
    assert "api-key" not in seen[0].headers


def test_no_token_is_a_refused_credential_and_no_job(tmp_path: Path):
    login = Login(ManualClock(), refuses=True)
    provider, seen = entra_provider(login, tmp_path, lambda _: httpx2.Response(500))
    for ask in (provider.check, lambda: provider.create_job(request())):
        with pytest.raises(CredentialsRefused, match="nobody is logged in"):
            ask()
    provider.close()
    assert not seen


def test_a_token_that_comes_back_is_never_shown(tmp_path: Path):
    def echo(call: httpx2.Request) -> httpx2.Response:
        said = call.headers["authorization"]
        return httpx2.Response(400, json={"error": {"code": "no", "message": f"bad {said}"}})

    provider, _ = entra_provider(Login(ManualClock()), tmp_path, echo)
    with pytest.raises(ProviderRejected) as caught:
        provider.create_job(request())
    provider.close()
    assert "entra-token" not in str(caught.value)
    assert "[key removed]" in str(caught.value)
    assert "entra-token" not in repr(provider._connection.where)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra) as caught:
        build(profile("azure", HERE, tmp_path, options={"auth": "entra"}))
    assert "ftctl[azure]" in (caught.value.hint or "")
    with pytest.raises(MissingExtra):
        AzureIdentity()
