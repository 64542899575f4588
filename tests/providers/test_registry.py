"""A provider loads when named; a broken plug-in breaks nobody else."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

import providers
from orchestrator.domain.errors import ConfigurationError, MissingCredentials
from orchestrator.domain.profile import Profile
from tests.providers.rig import profile

ROOT = Path(__file__).parents[2]


def registered(monkeypatch: pytest.MonkeyPatch, **plug_ins: str) -> None:
    entries = EntryPoints(
        EntryPoint(name, value, providers.GROUP) for name, value in plug_ins.items()
    )
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: entries)


def test_the_built_in_kinds_are_there_without_metadata(monkeypatch: pytest.MonkeyPatch):
    registered(monkeypatch)
    assert providers.kinds() == ["azure", "compatible", "openai", "peft", "simulator"]


def test_the_built_in_table_is_what_pyproject_registers():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"][providers.GROUP] == dict(providers._BUILT_IN)


@pytest.mark.parametrize("code", ["import providers", "import providers; providers.kinds()"])
def test_importing_providers_imports_none(code: str):
    heavy = "{'openai', 'httpx2', 'tenacity', 'providers.openai', 'providers.wire'}"
    check = f"{code}; import sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_building_a_provider_does_not_load_the_client():
    check = (
        "import sys, providers; from orchestrator.domain.profile import Profile;"
        "providers.build(Profile(name='o', kind='openai', api_key='k' * 20));"
        "print(sorted({'openai', 'httpx2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_outsider_is_built_like_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    registered(monkeypatch, mine="providers.simulator:build")
    assert "mine" in providers.kinds()
    provider = providers.build(profile("mine", None, tmp_path))
    assert provider.check().reachable
    provider.close()


def test_an_outsider_cannot_take_our_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    registered(monkeypatch, simulator="nowhere:build")
    providers.build(profile("simulator", None, tmp_path)).close()


@pytest.mark.parametrize(
    "target", ["nowhere:build", "providers.wire:nothing", "providers.wire:PAGE"]
)
def test_a_broken_plug_in_is_named(target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    registered(monkeypatch, mine=target)
    assert "mine" in providers.kinds()
    with pytest.raises(ConfigurationError) as caught:
        providers.build(profile("mine", None, tmp_path))
    assert f"'mine' ({target})" in caught.value.message
    providers.build(profile("simulator", None, tmp_path)).close()


def test_an_unknown_kind_lists_the_known():
    with pytest.raises(ConfigurationError, match="azure, compatible, openai, peft, simulator"):
        providers.build(Profile(name="x", kind="nobody"))


def test_what_a_kind_says_of_its_profile_is_passed_on():
    with pytest.raises(MissingCredentials):
        providers.build(Profile(name="x", kind="openai"))
