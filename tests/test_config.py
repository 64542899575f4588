"""Settings: what wins, what is refused, and that no key is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import config
from orchestrator.domain.errors import ConfigurationError

CANARY = "sk-canary-4711"


def loaded(tmp_path: Path, toml: str = "", **environment: str) -> config.Settings:
    (tmp_path / "ftctl.toml").write_text(toml, encoding="utf-8")
    return config.load({"FTCTL_HOME": str(tmp_path / "home"), **environment}, cwd=tmp_path)


def test_built_in_profiles_take_the_usual_variables(tmp_path):
    settings = loaded(tmp_path, OPENAI_API_KEY=CANARY, AZURE_OPENAI_ENDPOINT="https://x.example")
    assert settings.profile_names() == ["azure", "local", "openai"]
    assert settings.profile("openai").api_key == CANARY
    assert settings.profile("azure").base_url == "https://x.example"
    assert settings.profile("local").embedded


def test_a_table_of_ones_own_wins_over_the_built_in_one(tmp_path):
    toml = '[providers.openai]\nbase_url = "https://proxy.example/v1"\ntimeout = 5\n'
    profile = loaded(tmp_path, toml).profile("openai")
    assert (profile.kind, profile.base_url, profile.timeout) == (
        "openai",
        "https://proxy.example/v1",
        5.0,
    )


def test_a_worker_elsewhere_takes_the_place_of_the_embedded_one(tmp_path):
    url = '[providers.local]\nbase_url = "https://gpu-box.example/v1"\n'
    profile = loaded(tmp_path, url).profile("local")
    assert (profile.kind, profile.embedded) == ("peft", False)
    with pytest.raises(ConfigurationError, match="chooses its own address"):
        loaded(tmp_path, url + "embedded = true\n").profile("local")


def test_another_account_is_not_sent_to_the_first_ones_host(tmp_path):
    toml = '[providers.second]\nkind = "openai"\napi_key_env = "SECOND"\n'
    settings = loaded(tmp_path, toml, OPENAI_BASE_URL="https://first.example", SECOND="k")
    assert settings.profile("second").base_url is None


def test_a_key_is_never_shown(tmp_path):
    settings = loaded(tmp_path, OPENAI_API_KEY=CANARY)
    assert CANARY not in repr(settings)
    assert CANARY not in repr(settings.profile("openai"))


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[providers.x]\n", "names no kind"),
        ('[providers.x]\nkind = "openai"\napi_key = "sk-1"\n', "do not belong"),
        ('[providers.x]\nkind = "openai"\ntimeout = "soon"\n', "positive number"),
        ("providers = 3\n", "not a table"),
        ("[providers]\nx = 3\n", "not a table"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_in_one_sentence(tmp_path, toml, words):
    with pytest.raises(ConfigurationError, match=words):
        loaded(tmp_path, toml).profile("x")


def test_a_file_that_is_not_toml_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"ftctl\.toml is not valid TOML"):
        loaded(tmp_path, "[providers")


def test_an_absent_file_named_by_the_environment_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        config.load({"FTCTL_CONFIG": str(tmp_path / "nowhere.toml")}, cwd=tmp_path)


def test_an_unknown_profile_names_the_known_ones(tmp_path):
    with pytest.raises(ConfigurationError, match="azure, local, openai"):
        loaded(tmp_path).profile("nobody")


def test_keys_may_lie_in_a_file_that_nobody_else_can_read(tmp_path):
    settings = loaded(tmp_path)
    settings.home.mkdir()
    file = settings.home / "credentials.toml"
    file.write_text(f'openai = "{CANARY}"\n')
    file.chmod(0o600)
    assert settings.profile("openai").api_key == CANARY
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        settings.profile("openai")


def test_secrets_of_webhooks_and_notifications_lie_beside_the_keys(tmp_path):
    toml = '[[notify]]\nname = "ops"\nurl = "https://x.example"\nsecret_env = "TELL"\n'
    settings = loaded(tmp_path, toml, OPENAI_WEBHOOK_SECRET=f" {CANARY} ")
    assert settings.webhook_secret("openai") == ("OPENAI_WEBHOOK_SECRET", CANARY)
    assert settings.webhook_secret("azure") == (None, None)
    (ops,) = settings.subscribers()
    assert settings.notify_secret(ops) is None
    settings.home.mkdir()
    file = settings.home / "credentials.toml"
    file.write_text('notify-ops = "from the file"\nazure-webhook = "too"\n')
    file.chmod(0o600)
    assert settings.notify_secret(ops) == "from the file"
    assert settings.webhook_secret("azure") == (None, "too")
