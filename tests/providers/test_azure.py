"""What is Azure's alone: its URL, training types, suffixes and deployments."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from orchestrator.domain.chat import ChatRequest
from orchestrator.domain.errors import ConfigurationError, ProviderRejected
from providers.azure import build, v1_url
from tests.providers.rig import profile, request, simulated

TUNED = "gpt-4.1-mini-2025-04-14.ft-0f4a3b2c1d-tickets"
HERE = "https://resource.openai.azure.com"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (HERE, f"{HERE}/openai/v1"),
        (f"{HERE}/", f"{HERE}/openai/v1"),
        (f"{HERE}/openai", f"{HERE}/openai/v1"),
        (f"{HERE}/openai/v1/", f"{HERE}/openai/v1"),
        (f"{HERE}/openai/v1?api-version=preview", f"{HERE}/openai/v1"),
        (f"{HERE}/api/projects/p", f"{HERE}/api/projects/p/openai/v1"),
    ],
)
def test_the_endpoint_may_be_given_in_any_length(given: str, url: str):
    assert v1_url(profile("azure", given, Path())) == url


def test_without_an_endpoint_the_variable_is_named():
    with pytest.raises(ConfigurationError) as caught:
        build(profile("azure", None, Path()))
    assert "AZURE_OPENAI_ENDPOINT" in (caught.value.hint or "")


def test_the_training_type_travels_beside_the_described_fields(tmp_path: Path):
    with simulated("azure", "azure", tmp_path) as rig:
        assert rig.sim is not None
        options = {"training_type": "GlobalStandard"}
        provider = build(profile("azure", rig.sim.url, tmp_path, options=options))
        with pytest.raises(ProviderRejected):
            provider.create_job(request())
        provider.close()
        call = rig.sim.exchanges[-1].call
        assert call.json()["trainingType"] == "GlobalStandard"
        assert call.path == "/openai/v1/fine_tuning/jobs"


def test_a_training_type_nobody_knows_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="GlobalStandard"):
        build(profile("azure", HERE, Path(), options={"training_type": "cheap"}))


@pytest.mark.parametrize("suffix", ["v1.2", "a" * 41, "sp ace", ""])
def test_a_suffix_azure_would_refuse_is_not_sent(suffix: str, tmp_path: Path):
    with simulated("azure", "azure", tmp_path) as rig:
        assert rig.sim is not None
        with pytest.raises(ProviderRejected, match="40 letters"):
            rig.job(suffix=suffix)
        assert rig.sim.count("create_job") == 0


def test_a_tuned_model_must_be_deployed_and_the_error_says_how():
    provider = build(profile("azure", HERE, Path()))
    with pytest.raises(ConfigurationError) as caught:
        provider.chat(ChatRequest(model=TUNED, messages=[]))
    assert "ftctl deploy" in (caught.value.hint or "")
    assert TUNED in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("model", "asked"),
    [(TUNED, "tickets"), ("tickets", "tickets"), ("gpt-4.1-mini", "gpt-4.1-mini")],
)
def test_a_deployment_answers_for_its_model(model: str, asked: str):
    calls: list[bytes] = []

    def answer(call: httpx2.Request) -> httpx2.Response:
        calls.append(call.read())
        return httpx2.Response(200, json={"choices": [{"message": {"content": "yes"}}]})

    provider = build(
        profile("azure", HERE, Path(), deployments={TUNED: "tickets"}),
        transport=lambda: httpx2.MockTransport(answer),
    )
    assert provider.chat(ChatRequest(model=model, messages=[])).text == "yes"
    assert f'"model":"{asked}"'.encode() in calls[0].replace(b": ", b":")
    provider.close()


@pytest.mark.parametrize(
    ("status", "error", "word"),
    [
        (
            400,
            {"message": "The specified base model does not support fine-tuning."},
            "training_type",
        ),
        (404, {"code": "DeploymentNotFound", "message": "does not exist"}, "deployment list"),
    ],
)
def test_words_that_mean_something_else_are_explained(
    status: int, error: dict[str, str], word: str
):
    provider = build(
        profile("azure", HERE, Path()),
        transport=lambda: httpx2.MockTransport(
            lambda _: httpx2.Response(status, json={"error": error})
        ),
    )
    with pytest.raises(ProviderRejected) as caught:
        provider.chat(ChatRequest(model="gpt-4.1-mini", messages=[]))
    assert word in (caught.value.hint or "")
    provider.close()


def test_the_gateways_own_refusal_of_a_key_is_understood():
    from orchestrator.domain.errors import CredentialsRefused

    body = {"statusCode": 401, "message": "Unauthorized. Access token is missing."}
    provider = build(
        profile("azure", HERE, Path()),
        transport=lambda: httpx2.MockTransport(lambda _: httpx2.Response(401, json=body)),
    )
    with pytest.raises(CredentialsRefused):
        provider.create_job(request())
    provider.close()
