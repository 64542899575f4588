"""Where the key may go, and what is never taken from the environment."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx2
import pytest

from orchestrator.domain.errors import ConfigurationError, MissingCredentials
from orchestrator.domain.profile import Profile
from providers import openai
from providers.connection import Address, Connection, checked_url, fingerprint, required_key
from tests.providers.rig import KEY, over, profile


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://h/v1/", "https://h/v1"),
        ("https://h/v1?a=b#c", "https://h/v1"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://localhost/v1", "http://localhost/v1"),
        ("http://[::1]:1/v1", "http://[::1]:1/v1"),
    ],
)
def test_a_url_is_taken_as_it_is_meant(url: str, checked: str):
    assert checked_url(profile("openai", url, Path()), url) == checked


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.7/v1", "http://localhost.example/v1", "ftp://h/v1", "h/v1", "https://",
        "https://user:secret@h/v1", "https://h:port/v1", "http://[::1", "",
    ],
)  # fmt: skip
def test_a_url_the_key_must_not_go_to_is_refused(url: str):
    with pytest.raises(ConfigurationError) as caught:
        checked_url(profile("openai", url, Path()), url)
    assert "secret" not in str(caught.value)


def test_plain_http_can_be_allowed():
    url = "http://gpu-box/v1"
    assert checked_url(profile("peft", url, Path(), allow_http=True), url) == url


def test_a_missing_key_names_its_variable():
    with pytest.raises(MissingCredentials) as caught:
        openai.build(Profile(name="openai", kind="openai", api_key_env="OPENAI_API_KEY"))
    assert "OPENAI_API_KEY" in caught.value.message
    assert caught.value.hint == "export OPENAI_API_KEY=..."
    with pytest.raises(MissingCredentials, match="api_key_env"):
        required_key(Profile(name="mine", kind="openai"))


def test_the_account_is_the_same_for_the_same_and_another_for_another():
    here = Address(url="https://h/v1", key=KEY)
    assert fingerprint("openai", here) == fingerprint("openai", Address(url=here.url, key=KEY))
    others = [
        fingerprint("azure", here),
        fingerprint("openai", Address(url="https://i/v1", key=KEY)),
        fingerprint("openai", Address(url=here.url, key=KEY + "x")),
        fingerprint("openai", Address(url=here.url, key=KEY, project="p")),
    ]
    assert len({*others, fingerprint("openai", here)}) == 5


def test_the_environment_decides_nothing(monkeypatch: pytest.MonkeyPatch):
    for name, value in {
        "OPENAI_ORG_ID": "org-of-somebody",
        "OPENAI_PROJECT_ID": "proj-of-somebody",
        "OPENAI_BASE_URL": "https://elsewhere.invalid/v1",
        "OPENAI_API_KEY": "sk-of-somebody-else",
        "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer other",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    calls: list[httpx2.Request] = []

    def answer(call: httpx2.Request) -> httpx2.Response:
        calls.append(call)
        return httpx2.Response(200, json={"data": []})

    provider = over(answer)
    provider.check()
    provider.close()
    assert calls[0].url.host == "api.invalid"
    assert calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert "openai-organization" not in calls[0].headers
    assert "openai-project" not in calls[0].headers


def test_redirects_are_not_followed():
    hosts: list[str] = []

    def answer(call: httpx2.Request) -> httpx2.Response:
        hosts.append(call.url.host)
        return httpx2.Response(302, headers={"location": "https://elsewhere.invalid/"})

    assert not over(answer).check().reachable
    assert set(hosts) == {"api.invalid"}


def test_each_thread_has_a_client_of_its_own():
    connection = Connection(
        Address(url="https://h/v1", key=KEY),
        lambda: httpx2.MockTransport(lambda _: httpx2.Response(200)),
    )
    found: list[object] = [connection.client(), connection.client()]
    thread = threading.Thread(target=lambda: found.append(connection.client()))
    thread.start()
    thread.join()
    assert found[0] is found[1]
    assert found[0] is not found[2]
    connection.move(Address(url="https://i/v1", key=KEY))
    assert str(connection.client().base_url) == "https://i/v1/"
    connection.close()
    assert all(client.is_closed() for client in found)  # type: ignore[attr-defined]


def test_an_option_of_the_wrong_type_is_named():
    with pytest.raises(ConfigurationError, match="proxy"):
        openai.build(profile("openai", None, Path(), options={"proxy": 7}))


def test_certificates_that_are_not_there_are_named(tmp_path: Path):
    options = {"ca_file": str(tmp_path / "none.pem")}
    provider = openai.build(profile("openai", "https://h/v1", tmp_path, options=options))
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        provider.check()


@pytest.mark.parametrize("seconds", [1.0, 5.0, 30.0])
def test_every_client_waits_as_long_as_it_was_told(seconds: float):
    """5 s is the library's own default, which the SDK does not take for a wish."""
    connection = Connection(Address(url="http://127.0.0.1:1/v1", key=KEY, timeout=seconds))
    timeout = connection.client().timeout
    assert isinstance(timeout, httpx2.Timeout)
    assert (timeout.read, timeout.connect) == (seconds, min(seconds, 10.0))
    connection.close()
