"""Azure Resource Manager's deployments: what is sent, what is read, what is never done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import jsonschema
import pytest

import providers
from orchestrator.domain.errors import (
    ConfigurationError,
    CredentialsRefused,
    FtctlError,
    MissingCredentials,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnreachable,
    RateLimited,
    RemoteNotFound,
    TryLater,
)
from orchestrator.domain.jobs.deployment import DeploymentRequest, DeploymentState
from orchestrator.domain.profile import Profile
from providers.arm import API_VERSION, WORDS, ArmDeployments, body, deployment_host
from providers.retry import Retry
from providers.simulator import Simulator
from providers.tokens import FixedToken
from tests.providers.description import CONTRACTS

TOKEN = "arm-token-0123456789abcdef"
PLACE = {"subscription": "0000-1111", "resource_group": "rg-one", "account": "acct"}
ARM = CONTRACTS / "azure" / "arm"
PUT_SCHEMA = json.loads((ARM / "arm-deployments-put.2026-05-01.schema.json").read_text("utf-8"))
RESOURCE = json.loads((ARM / "arm-deployments-resource.2026-07-01.json").read_text("utf-8"))
WISH = DeploymentRequest(name="tickets", model="tuned", sku="GlobalStandard", capacity=10)


def example(name: str) -> Any:
    return json.loads((ARM / f"arm_{name}.json").read_text("utf-8"))


def a_profile(**options: object) -> Profile:
    return Profile(name="here", kind="azure", options={**PLACE, **options}, timeout=5.0)


def over(handler: Callable[[httpx2.Request], httpx2.Response], **options: object) -> ArmDeployments:
    """The client over a function instead of a network; it never really waits."""
    return deployment_host(
        a_profile(**options),
        tokens=FixedToken(TOKEN),
        transport=lambda: httpx2.MockTransport(handler),
        retry=Retry(sleep=lambda _: None),
    )


def answering(*answers: httpx2.Response) -> tuple[ArmDeployments, list[httpx2.Request]]:
    left, seen = list(answers), list[httpx2.Request]()

    def handler(call: httpx2.Request) -> httpx2.Response:
        seen.append(call)
        return left.pop(0) if len(left) > 1 else left[0]

    return over(handler), seen


def no(status: int, code: str, message: str = "It said so.") -> httpx2.Response:
    return httpx2.Response(status, json={"error": {"code": code, "message": message}})


@contextmanager
def simulated() -> Iterator[tuple[ArmDeployments, Simulator]]:
    """The client over real HTTP to the simulated resource."""
    with Simulator("azure") as sim:
        host = deployment_host(
            a_profile(arm_endpoint=sim.url.removesuffix("/openai/v1")),
            tokens=FixedToken(TOKEN),
            retry=Retry(sleep=lambda _: None),
        )
        sim.deploy("made-by-hand", "tuned")
        with sim._memory.change() as state:
            state["jobs"]["j"] = {"fine_tuned_model": "tuned", "checkpoints": []}
        yield host, sim
        host.close()


def test_the_body_is_as_the_official_schema_wants_it():
    wrapped = {
        "name": "tickets",
        "type": "Microsoft.CognitiveServices/accounts/deployments",
        "apiVersion": "2026-05-01",
        **body(WISH),
    }
    jsonschema.Draft4Validator(PUT_SCHEMA).validate(wrapped)
    # What the schema leaves open, the published request does not.
    published = example("PutDeployment")["parameters"]["deployment"]
    assert body(WISH).keys() == published.keys()
    assert body(WISH)["properties"]["model"].keys() == published["properties"]["model"].keys()


def test_every_word_is_one_of_the_official_ones():
    official = RESOURCE["body"]["properties"]["properties"]["properties"]["provisioningState"]
    assert official["open"] is True
    assert set(WORDS) <= set(official["enum"])
    assert set(official["enum"]) - set(WORDS) == {"Moving", "Disabled"}


@pytest.mark.parametrize(
    ("status", "state"), [(201, DeploymentState.ACCEPTED), (200, DeploymentState.SUCCEEDED)]
)
def test_the_published_put_is_understood(status: int, state: DeploymentState):
    published = example("PutDeployment")["responses"][str(status)]["body"]
    host, seen = answering(httpx2.Response(status, json=published))
    found = host.put(WISH, new=True)
    assert (found.name, found.model, found.state) == ("deploymentName", "ada", state)
    assert (found.sku, found.capacity) == ("Standard", 1)
    call = seen[0]
    assert call.url.path == (
        "/subscriptions/0000-1111/resourceGroups/rg-one/providers/Microsoft.CognitiveServices"
        "/accounts/acct/deployments/tickets"
    )
    assert call.url.params["api-version"] == API_VERSION
    assert call.headers["if-none-match"] == "*"
    assert call.headers["authorization"] == f"Bearer {TOKEN}"


def test_the_published_list_is_understood():
    published = example("ListDeployments")["responses"]["200"]["body"]
    host, _ = answering(httpx2.Response(200, json=published))
    assert [(each.name, each.model, each.state) for each in host.list()] == [
        ("deploymentName", "ada", DeploymentState.SUCCEEDED)
    ]


def test_a_life_at_the_simulated_resource():
    with simulated() as (host, _sim):
        made = host.put(WISH, new=True)
        assert made.state is DeploymentState.ACCEPTED
        states = [host.get("tickets") for _ in range(3)]
        assert [each.remote_state for each in states if each] == [
            "Accepted", "Creating", "Succeeded",
        ]  # fmt: skip
        assert made.created_at is not None
        with pytest.raises(ProviderRejected) as caught:
            host.put(WISH, new=True)
        assert caught.value.status == 412
        host.delete("tickets")
        assert (gone := host.get("tickets")) is not None
        assert gone.state is DeploymentState.DELETING
        assert host.get("tickets") is None
        host.delete("tickets")


def test_every_page_of_the_list_is_read():
    with simulated() as (host, sim):
        for number in range(12):
            sim.deploy(f"d-{number:02}", "m")
        assert len(host.list()) == 13
        assert sim.count("list_deployments") == 3


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/subscriptions/x",
        "http://management.azure.com/subscriptions/x",
        "https://management.azure.com:444/subscriptions/x",
        "//elsewhere.example/x",
        7,
    ],
)
def test_the_token_goes_to_no_other_host(link: object):
    host, seen = answering(httpx2.Response(200, json={"value": [], "nextLink": link}))
    with pytest.raises(ProviderUnreachable, match="another host"):
        host.list()
    assert {call.url.host for call in seen} == {"management.azure.com"}


def test_a_failure_is_not_asked_of_another_host():
    host, seen = answering(httpx2.Response(200, json={"error": {"message": "no"}}))
    assert host.failure("https://elsewhere.example/operations/1") is None
    assert seen == []


def test_a_list_without_an_end_is_not_read_for_ever():
    again = "https://management.azure.com/subscriptions/x?again"
    host, seen = answering(httpx2.Response(200, json={"value": [], "nextLink": again}))
    with pytest.raises(ProviderUnreachable, match="without an end"):
        host.list()
    assert len(seen) == 200


@pytest.mark.parametrize(
    ("answer", "expected", "tries"),
    [
        (no(400, "InsufficientQuota"), ProviderRejected, 1),
        (no(403, "AuthorizationFailed"), CredentialsRefused, 1),
        (no(401, "ExpiredAuthenticationToken"), CredentialsRefused, 1),
        (no(409, "RequestConflict"), TryLater, 1),
        (no(409, "FlagMustBeSetForRestore"), ProviderRejected, 1),
        (no(429, "TooManyRequests"), RateLimited, 1),
        (no(500, "InternalServerError"), OutcomeUnknown, 1),
        (httpx2.Response(404, text="<html>"), OutcomeUnknown, 1),
        (httpx2.Response(201, text="<html>"), OutcomeUnknown, 1),
        (httpx2.Response(201, json={"name": "tickets"}), OutcomeUnknown, 1),
        (httpx2.Response(302, headers={"location": "https://login.invalid"}), OutcomeUnknown, 1),
    ],
)
def test_one_put_ends_in_one_way(answer: httpx2.Response, expected: type[FtctlError], tries: int):
    host, seen = answering(answer)
    with pytest.raises(expected) as caught:
        host.put(WISH, new=True)
    assert type(caught.value) is expected
    assert len(seen) == tries


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx2.ConnectError("refused"), ProviderUnreachable),
        (httpx2.ReadTimeout("late"), OutcomeUnknown),
        (httpx2.RemoteProtocolError("cut"), OutcomeUnknown),
    ],
)
def test_a_broken_connection_says_whether_anything_left(
    error: Exception, expected: type[FtctlError]
):
    def handler(_: httpx2.Request) -> httpx2.Response:
        raise error

    with pytest.raises(expected):
        over(handler).put(WISH, new=True)


def test_what_may_be_repeated_is_repeated():
    ok = httpx2.Response(200, json={"value": []})
    host, seen = answering(no(409, "RequestConflict"), no(503, "ServerTimeout"), ok)
    assert host.list() == []
    assert len(seen) == 3


@pytest.mark.parametrize("code", ["ResourceGroupNotFound", "ParentResourceNotFound"])
def test_a_place_that_is_not_there_is_not_a_deployment_that_is_gone(code: str):
    host, _ = answering(no(404, code))
    for call in (lambda: host.get("x"), lambda: host.delete("x"), host.list):
        with pytest.raises(RemoteNotFound):
            call()


def test_a_deployment_that_is_gone_is_none():
    host, _ = answering(no(404, "ResourceNotFound"))
    assert host.get("x") is None
    host.delete("x")


def test_an_unknown_word_has_no_state():
    plain = {"name": "x", "properties": {"model": {"name": "m"}, "provisioningState": "Napping"}}
    host, _ = answering(httpx2.Response(200, json=plain))
    found = host.get("x")
    assert found is not None
    assert (found.state, found.remote_state) == (None, "Napping")


def test_the_sentence_of_a_failure_is_the_innermost():
    wrapped = {
        "code": "DeploymentFailed",
        "message": "At least one operation failed.",
        "details": [{"code": "ModelNotAvailable", "message": "Not in  this region."}],
    }
    host, _ = answering(httpx2.Response(200, json={"status": "Failed", "error": wrapped}))
    found = host.failure("https://management.azure.com/subscriptions/x/operations/1")
    assert found is not None
    assert (found.code, found.message) == ("ModelNotAvailable", "Not in this region.")


def test_the_token_is_in_no_text():
    host, _ = answering(no(400, "BadToken", f"Who is Bearer {TOKEN}?"))
    with pytest.raises(ProviderRejected) as caught:
        host.get("x")
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(host._tokens)
    assert TOKEN not in repr(Profile(name="n", kind="azure", tokens={"arm_token": TOKEN}))


@pytest.mark.parametrize("missing", sorted(PLACE))
def test_a_missing_setting_is_named(missing: str):
    options: dict[str, object] = {k: v for k, v in PLACE.items() if k != missing}
    with pytest.raises(ConfigurationError, match=missing):
        deployment_host(
            Profile(name="here", kind="azure", options=options), tokens=FixedToken(TOKEN)
        )


def test_the_accounts_name_is_read_off_the_endpoint():
    options = {name: value for name, value in PLACE.items() if name != "account"}
    host = deployment_host(
        Profile(
            name="here", kind="azure", base_url="https://acct.openai.azure.com", options=options
        ),
        tokens=FixedToken(TOKEN),
    )
    assert host.account == over(lambda _: no(404, "x")).account


@pytest.mark.parametrize("bad", ["a/b", "../x", "a b", "", 7, "x?y"])
def test_a_setting_cannot_change_the_path(bad: object):
    with pytest.raises(ConfigurationError, match="account"):
        over(lambda _: no(404, "x"), account=bad)


@pytest.mark.parametrize(
    "endpoint", ["http://management.azure.com", "ftp://x", "https://a:b@management.azure.com"]
)
def test_the_token_is_sent_over_https_alone(endpoint: str):
    with pytest.raises(ConfigurationError, match="arm_endpoint"):
        over(lambda _: no(404, "x"), arm_endpoint=endpoint)


def test_another_cloud_and_another_version_can_be_named():
    seen: list[httpx2.Request] = []

    def handler(call: httpx2.Request) -> httpx2.Response:
        seen.append(call)
        return httpx2.Response(200, json={"value": []})

    host = over(
        handler, arm_endpoint="https://management.usgovcloudapi.net", arm_api_version="2026-05-01"
    )
    host.list()
    assert seen[0].url.host == "management.usgovcloudapi.net"
    assert seen[0].url.params["api-version"] == "2026-05-01"
    assert host.account != over(handler).account


def test_the_variable_that_holds_the_token_is_named_when_it_is_not_set():
    with pytest.raises(MissingCredentials, match="ARM_TOKEN"):
        providers.deployment_host(a_profile(arm_token_env="ARM_TOKEN"))


def test_a_kind_without_deployments_says_so():
    with pytest.raises(ConfigurationError, match="not deployed"):
        providers.deployment_host(Profile(name="o", kind="openai"))
