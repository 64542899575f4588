"""The Hub as a repository of adapters: what goes over the wire, and what must not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.domain.adapters.adapter import History, Move
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import (
    ConfigurationError,
    Conflict,
    CredentialsRefused,
    FtctlError,
    ProviderUnreachable,
)
from orchestrator.store.drafts import Drafts
from orchestrator.usecases.adapters.aliases import promote
from orchestrator.usecases.adapters.copies import pull
from orchestrator.usecases.adapters.push import Origin, push, take_in
from orchestrator.usecases.adapters.registry import Registry
from providers.adapter_hub import HubRepo
from tests.conftest import Ftctl
from tests.factories import adapter_folder, safetensors
from tests.providers.hub import TOKEN, LoopbackHub

MIB = 1024 * 1024


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as running:
        yield running


def registry(hub: LoopbackHub, tmp_path: Path, token: str = TOKEN) -> Registry:
    repo = HubRepo("acme/adapters", tmp_path / "cache", endpoint=hub.url, token=token)
    return Registry(
        repo=repo, clock=ManualClock(), by="a", stage=Drafts(tmp_path / "drafts").folder
    )


def pushed(ours: Registry, own: Path) -> None:
    with ours.stage() as stage:
        take_in(own, stage, None)
        push(ours, stage, "tickets", Origin(base_model={"name": "tiny"}))


def test_a_repository_is_made_private_and_weights_go_as_a_large_file(
    hub: LoopbackHub, tmp_path: Path
):
    ours = registry(hub, tmp_path)
    assert ours.repo.tasks() == []
    assert hub.repos == {}
    pushed(ours, adapter_folder(tmp_path / "own"))
    repo = hub.repos["acme/adapters"]
    assert repo.private
    assert len(repo.commits) == 2  # its own first one, and ours with all files
    assert len(hub.large) == 1
    weights = repo.commits[-1][1]["tickets/v1/adapter_model.safetensors"]
    assert weights == (tmp_path / "own" / "adapter_model.safetensors").read_bytes()


def test_a_download_that_breaks_off_goes_on_where_it_was(hub: LoopbackHub, tmp_path: Path):
    own = adapter_folder(tmp_path / "own")
    # The client writes in pieces of ten MiB.
    large = safetensors({"w.lora_A.weight": ("F32", (11 * MIB // 4,), bytes(11 * MIB))})
    (own / "adapter_model.safetensors").write_bytes(large)
    pushed(registry(hub, tmp_path), own)
    elsewhere = registry(hub, tmp_path / "b")
    hub.break_after = 10 * MIB + 100
    try:
        pull(elsewhere, "tickets", "v1", tmp_path / "out")
    except ProviderUnreachable:
        pull(elsewhere, "tickets", "v1", tmp_path / "out")
    ranges = [headers.get("Range") or headers.get("range") for _, path, headers in hub.requests
              if path.endswith(".safetensors")]  # fmt: skip
    assert f"bytes={10 * MIB}-" in ranges
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


def test_what_is_read_is_pinned_to_the_commit_that_was_seen(hub: LoopbackHub, tmp_path: Path):
    ours = registry(hub, tmp_path)
    pushed(ours, adapter_folder(tmp_path / "own"))
    history = ours.repo.history("tickets")
    repo = hub.repos["acme/adapters"]
    repo.commit({**repo.commits[-1][1], "tickets/v1/ftctl.json": b"{}"})
    assert b'"task": "tickets"' in ours.repo.manifest(history, "v1")


class Busy(HubRepo):
    """A repository in which somebody commits just before each of our moves, `times` times."""

    hub: LoopbackHub
    times = 1

    def add_move(self, history: History, move: Move) -> None:
        if self.times:
            self.times -= 1
            repo = self.hub.repos[self.name]
            repo.commit({**repo.commits[-1][1], self.theirs: b"{}"})
        super().add_move(history, move)

    theirs = "other/v1/ftctl.json"


@pytest.mark.parametrize(
    ("theirs", "good"), [("other/v1/ftctl.json", True), ("tickets/v2/ftctl.json", False)]
)
def test_what_happens_to_other_tasks_is_no_conflict(
    hub: LoopbackHub, tmp_path: Path, theirs: str, good: bool
):
    pushed(registry(hub, tmp_path), adapter_folder(tmp_path / "own"))
    busy = Busy("acme/adapters", tmp_path / "cache", endpoint=hub.url, token=TOKEN)
    busy.hub, busy.theirs = hub, theirs
    ours = replace(registry(hub, tmp_path), repo=busy)
    if good:
        assert promote(ours, "tickets", "v1", forced=True, reason="x").move is not None
    else:
        with pytest.raises(Conflict):
            promote(ours, "tickets", "v1", forced=True, reason="x")


def test_a_refused_token_is_one_sentence_without_the_token(
    hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    canary = "hf_wrong-9d02c1f4aa7e"
    ours = registry(hub, tmp_path, token=canary)
    with caplog.at_level(logging.DEBUG), pytest.raises(CredentialsRefused) as caught:
        ours.repo.history("tickets")
    assert canary not in caught.value.message
    assert canary not in caplog.text
    assert canary not in repr(ours.repo)


def test_a_token_goes_to_no_foreign_host_in_the_clear(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="unencrypted"):
        HubRepo("acme/adapters", tmp_path, endpoint="http://hub.example", token=TOKEN)


@pytest.mark.parametrize("name", ["", "no/such/name", "a b/c", "../x"])
def test_a_name_that_is_none_is_a_setting_to_mend(hub: LoopbackHub, tmp_path: Path, name: str):
    repo = HubRepo(name, tmp_path, endpoint=hub.url, token=TOKEN)
    with pytest.raises(FtctlError):
        repo.tasks()


def test_nobody_there_is_try_later(tmp_path: Path):
    repo = HubRepo("acme/adapters", tmp_path, endpoint="http://127.0.0.1:9", token=TOKEN)
    with pytest.raises(ProviderUnreachable):
        repo.tasks()


def test_the_command_line_reaches_the_hub_that_ftctl_toml_names(
    hub: LoopbackHub, ftctl: Ftctl, tmp_path: Path
):
    (ftctl.home / "ftctl.toml").write_text(
        f'[adapters]\nrepo = "hf://acme/adapters"\nendpoint = "{hub.url}"\n'
    )
    ftctl.environment["HF_TOKEN"] = TOKEN
    own = adapter_folder(tmp_path / "own")
    made = ftctl("adapters", "push", own, "--task", "tickets", "--no-probes", "--json")
    assert (made.code, made.json["name"]) == (0, "tickets@v1"), made.err
    done = ftctl("adapters", "promote", "tickets", "v1", "--force", "--reason", "first")
    assert done.code == 0, done.err
    assert ftctl("adapters", "list", "--json").json == [
        {"task": "tickets", "versions": ["v1"], "aliases": {"champion": "v1"}}
    ]
    assert ftctl("adapters", "mirror", tmp_path / "copy").code == 0
    assert (tmp_path / "copy" / "tickets" / "moves" / "0001.json").is_file()
    served = ftctl("adapters", "serve-to", "http://127.0.0.1:9")
    assert (served.code, "mirror" in served.err) == (2, True)
    for path in ftctl.home.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_a_token_in_ftctl_toml_is_refused(ftctl: Ftctl):
    (ftctl.home / "ftctl.toml").write_text(f'[adapters]\nrepo = "x"\ntoken = "{TOKEN}"\n')
    refused = ftctl("adapters", "list")
    assert refused.code == 3
    assert TOKEN not in refused.err
