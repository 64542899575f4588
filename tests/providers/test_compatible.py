"""A host known by its profile alone: wherever the token travels, one intent is one job."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import ConfigurationError, MissingCredentials
from orchestrator.domain.jobs.job import Hyperparameters, JobStatus, Method
from orchestrator.domain.provider import Capabilities, JobRequest, TokenCarrier
from providers import bodies
from providers.compatible import build
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.factories import chat_file
from tests.providers.rig import profile

CARRIERS: dict[str, tuple[str, str, str]] = {
    "metadata": ("compatible", "openai", ""),
    "suffix": ("compatible", "bare", "metadata = false\nsuffix_limit = 40\n"),
    "file": ("compatible", "bare", "metadata = false\nsuffix_limit = 0\n"),
    "suffix of a dated Azure": ("azure", "azure-dated", 'api_version = "2024-10-21"\n'),
}


def options(**given: Any) -> dict[str, Any]:
    return given


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("fault", "made"), [("drop_after_accept", 1), ("drop_before", 1), ("error_500_after_accept", 1)]
)
def test_a_lost_answer_is_settled_by_the_token(ftctl: Ftctl, carrier: str, fault: str, made: int):
    kind, dialect, extra = CARRIERS[carrier]
    assert isinstance(ftctl.clock, ManualClock)
    with Simulator(dialect) as sim:
        ftctl.environment["KEY"] = "sk-test-0123456789"
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "{kind}"\nbase_url = "{sim.url}"\napi_key_env = "KEY"\n'
            + extra
        )
        training = chat_file(ftctl.home / "train.jsonl")
        sim.order_fault("create_job", fault)
        asked = ("submit", training, "--provider", "host", "--model", "m", "--json")
        assert ftctl(*asked).code == 4
        for _ in range(3):
            ftctl("sync", "--all")
            ftctl.clock.sleep(timedelta(minutes=11).total_seconds())
        sim.advance(10)
        assert ftctl("sync", "--all").code == 0
        (job,) = ftctl("status", "--json").json
        assert job["status"] == "succeeded"
        assert len(sim.ledger) == made
        # A second job over the same data is told from the first.
        assert ftctl(*asked, "--again").code == 0
        assert len({each["remote_id"] for each in ftctl("status", "--json").json}) == 2


def test_a_suffix_leaves_room_for_the_token(ftctl: Ftctl):
    with Simulator("bare") as sim:
        ftctl.environment["KEY"] = "sk-test-0123456789"
        (ftctl.home / "ftctl.toml").write_text(
            f'[providers.host]\nkind = "compatible"\nbase_url = "{sim.url}"\napi_key_env = "KEY"\n'
            + CARRIERS["suffix"][2]
        )
        training = chat_file(ftctl.home / "train.jsonl")
        asked = ("submit", training, "--provider", "host", "--model", "m", "--suffix")
        done = ftctl(*asked, "x" * 14)
        assert (done.code, "beside the token" in done.err) == (2, True)
        assert ftctl(*asked, "x" * 13).code == 0
        assert ftctl(*asked, "y", "--metadata", "a=b", "--again").code == 2


def test_what_the_profile_says_is_what_it_can():
    said = options(
        methods=["dpo"], metadata=False, suffix_limit=12, pause=True, words={"baking": "running"},
        uploads=True,
    )  # fmt: skip
    provider = build(profile("compatible", "https://host.example/v1", Path(), options=said))
    can = provider.capabilities
    assert (can.methods, can.pause, can.token_in) == (
        frozenset({Method.DPO}),
        True,
        TokenCarrier.FILE,
    )
    assert can.parts_above == 512 * 1024 * 1024
    assert can.prices == "here"
    assert provider.status_words["baking"] is JobStatus.RUNNING


@pytest.mark.parametrize(
    "wrong",
    [
        {"methods": ["magic"]}, {"methods": []}, {"metadata": "yes"}, {"suffix_limit": -1},
        {"words": {"a": "b"}}, {"words": {"a": ["b"]}}, {"methods": [["dpo"]]}, {"max_tokens": 3}, {"hyperparameters": "below"}, {"pause": 1},
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_named(wrong: dict[str, Any]):
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"{name} in .providers.here"):
        build(profile("compatible", "https://host.example/v1", Path(), options=wrong))


def test_it_needs_an_address_and_a_key():
    with pytest.raises(ConfigurationError, match="no address"):
        build(profile("compatible", None, Path()))
    with pytest.raises(MissingCredentials):
        build(profile("compatible", "https://host.example/v1", Path(), api_key=None))


@pytest.mark.parametrize("where", ["method", "top"])
def test_hyperparameters_go_where_the_host_reads_them(where: str):
    bodies: list[dict[str, Any]] = []

    def answer(call: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(call.read()))
        return httpx2.Response(200, json={"id": "job-1", "status": "completed"})

    provider = build(
        profile(
            "compatible", "https://host.example/v1", Path(), options={"hyperparameters": where}
        ),
        transport=lambda: httpx2.MockTransport(answer),
    )
    asked = JobRequest(
        model="m", training_file="f", token="t" * 26, hyperparameters=Hyperparameters(n_epochs=2)
    )
    assert provider.create_job(asked).status is JobStatus.SUCCEEDED
    provider.close()
    assert bodies[0].get("hyperparameters") == ({"n_epochs": 2} if where == "top" else None)
    assert ("method" in bodies[0]) == (where == "method")


def test_a_host_without_metadata_is_sent_none_wherever_the_token_is():
    asked = JobRequest(model="m", training_file="f", token="t" * 26)
    for carrier in TokenCarrier:
        told = bodies.job(asked, Capabilities(metadata=False, token_in=carrier))
        assert "metadata" not in told
        assert ("suffix" in told) == (carrier is TokenCarrier.SUFFIX)
