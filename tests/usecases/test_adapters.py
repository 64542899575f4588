"""Versions, aliases, gates, copies: the verbs over a folder and over the Hub alike."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.adapters.adapter import Action, History, Move
from orchestrator.domain.adapters.manifest import Manifest
from orchestrator.domain.adapters.names import check_alias, check_task, parse_address
from orchestrator.domain.adapters.ports import AdapterRepo
from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import AnswerIsNo, Conflict, LocalStateError, UsageError
from orchestrator.store.adapter_folder import FolderRepo
from orchestrator.store.drafts import Drafts
from orchestrator.usecases.adapters.aliases import promote, remove, rollback
from orchestrator.usecases.adapters.copies import fetch, mirror, pull
from orchestrator.usecases.adapters.push import Origin, Pushed, push, take_in
from orchestrator.usecases.adapters.registry import Registry
from orchestrator.usecases.adapters.verify import verify
from providers.adapter_hub import HubRepo
from tests.factories import a_job, adapter_folder
from tests.providers.hub import TOKEN, LoopbackHub


@pytest.fixture(params=["folder", "hub"])
def repo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AdapterRepo]:
    if request.param == "folder":
        yield FolderRepo(tmp_path / "repo")
        return
    with LoopbackHub() as hub:
        yield HubRepo("acme/adapters", tmp_path / "cache", endpoint=hub.url, token=TOKEN)


@pytest.fixture
def registry(repo: AdapterRepo, tmp_path: Path) -> Registry:
    return Registry(
        repo=repo, clock=ManualClock(), by="ada@box", stage=Drafts(tmp_path / "drafts").folder
    )


def pushed(registry: Registry, seed: float = 1.0, task: str = "tickets", **origin: Any) -> Pushed:
    with registry.stage() as outer, registry.stage() as stage:
        take_in(adapter_folder(outer / "own", seed=seed), stage, None)
        known = {"base_model": {"name": "tiny", "revision": "r1"}, **origin}
        return push(registry, stage, task, Origin(**known))


def forced(registry: Registry, version: str, alias: str = "champion") -> None:
    promote(registry, "tickets", version, alias=alias, forced=True, reason="a test")


def aliases(registry: Registry) -> dict[str, str]:
    return registry.repo.history("tickets").aliases


def test_the_same_weights_make_no_second_version(registry: Registry):
    first, again, other = pushed(registry), pushed(registry), pushed(registry, seed=2.0)
    assert (first.manifest.version, first.new) == ("v1", True)
    assert (again.manifest.version, again.new) == ("v1", False)
    assert (other.manifest.version, other.new) == ("v2", True)
    assert registry.repo.tasks() == ["tickets"]
    assert registry.repo.history("tickets").versions == ["v1", "v2"]


def test_a_version_tells_where_it_comes_from_and_comes_back_byte_for_byte(
    registry: Registry, tmp_path: Path
):
    job = a_job(tuned_model="ft:x", seed=7, raw={"hyperparameters": {"n_epochs": 3}})
    made = pushed(registry, job=job, licence="apache-2.0").manifest
    assert made.dataset["training"] == job.training
    assert made.recipe["n_epochs"] == 3
    assert made.recipe["seed"] == 7
    assert pull(registry, "tickets", "v1", tmp_path / "out") == made
    files = sorted(each.name for each in (tmp_path / "out").iterdir())
    assert files == ["README.md", "adapter_config.json", "adapter_model.safetensors", "ftctl.json"]
    weights = (tmp_path / "out" / "adapter_model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == made.files["adapter_model.safetensors"].sha256
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'license: "apache-2.0"' in card
    assert str(job.training) in card
    with pytest.raises(UsageError, match="there already"):
        pull(registry, "tickets", "v1", tmp_path / "out")


def test_aliases_move_back_and_forth_and_every_move_is_kept(registry: Registry):
    for seed in (1.0, 2.0, 3.0):
        pushed(registry, seed)
    for version in ("v1", "v2", "v3"):
        forced(registry, version)
    assert promote(registry, "tickets", "v3", forced=True, reason="x").move is None
    assert rollback(registry, "tickets", reason="worse").version == "v2"
    assert rollback(registry, "tickets").version == "v1"
    with pytest.raises(AnswerIsNo, match="no version before v1"):
        rollback(registry, "tickets")
    forced(registry, "v1", alias="candidate")
    assert aliases(registry) == {"champion": "v1", "candidate": "v1"}
    moves = registry.repo.history("tickets").moves
    assert [(m.number, m.action.value, m.before, m.after) for m in moves] == [
        (1, "promote", None, "v1"), (2, "promote", "v1", "v2"), (3, "promote", "v2", "v3"),
        (4, "rollback", "v3", "v2"), (5, "rollback", "v2", "v1"), (6, "promote", None, "v1"),
    ]  # fmt: skip
    assert {move.by for move in moves} == {"ada@box"}
    assert moves[3].reason == "worse"


def test_what_an_alias_means_cannot_be_removed_and_no_number_comes_twice(registry: Registry):
    for seed in (1.0, 2.0):
        pushed(registry, seed)
    forced(registry, "v1")
    with pytest.raises(AnswerIsNo, match="is the champion"):
        remove(registry, "tickets", "v1")
    forced(registry, "v2")
    remove(registry, "tickets", "v1", "no longer used")
    remove(registry, "tickets", "v1")
    history = registry.repo.history("tickets")
    assert history.versions == ["v2"]
    assert history.before("champion") is None
    with pytest.raises(UsageError, match="was removed"):
        promote(registry, "tickets", "v1", forced=True, reason="x")
    assert pushed(registry).manifest.version == "v3"


def test_two_who_move_at_once_do_not_both(registry: Registry):
    for seed in (1.0, 2.0):
        pushed(registry, seed)
    stale = registry.repo.history("tickets")
    forced(registry, "v1")
    late = Move(number=1, at=ManualClock().now(), by="b", action=Action.PROMOTE, after="v2",
                alias="champion")  # fmt: skip
    with pytest.raises(Conflict):
        registry.repo.add_move(stale, late)
    with registry.stage() as stage:
        fetch(registry.repo, registry.repo.history("tickets"), "v1", stage)
        with pytest.raises(Conflict):
            registry.repo.add_version(stale, "v2", stage)
    assert aliases(registry) == {"champion": "v1"}


def test_a_gate_opens_for_a_comparison_that_passed(registry: Registry):
    metrics = {"comparison": "c1", "test": "t", "metric": "exact", "arms": []}
    with pytest.raises(AnswerIsNo, match="never compared"):
        promote(registry, "tickets", pushed(registry).manifest.version)
    for seed, word in ((2.0, "Degraded"), (3.0, "Inconclusive"), (4.0, "Parity")):
        version = pushed(registry, seed).manifest.version
        with_metrics(registry, version, {**metrics, "verdict": word})
        if word == "Parity":
            moved = promote(registry, "tickets", version)
            assert moved.move is not None
            assert moved.move.gate == {"comparison": "c1", "test": "t", "verdict": "Parity"}
        else:
            with pytest.raises(AnswerIsNo, match=f"says {word}"):
                promote(registry, "tickets", version)
            assert promote(registry, "tickets", version, alias="candidate").move is not None


def with_metrics(registry: Registry, version: str, metrics: dict[str, Any]) -> None:
    """Lay a manifest with metrics where `version` lies: what a comparison before a push leaves."""
    repo = registry.repo
    history = repo.history("tickets")
    changed = replace(Manifest.from_bytes(repo.manifest(history, version)), metrics=metrics)
    if isinstance(repo, FolderRepo):
        place = repo.place("tickets", version)
        assert place is not None
        (place / "ftctl.json").write_bytes(changed.to_bytes())
    else:
        assert isinstance(repo, HubRepo)
        repo._commit([repo._add(f"tickets/{version}/ftctl.json", changed.to_bytes())], None, "test")


def test_verify_sees_a_changed_byte_and_a_changed_trail(tmp_path: Path):
    repo = FolderRepo(tmp_path / "repo")
    registry = Registry(
        repo=repo, clock=ManualClock(), by="a", stage=Drafts(tmp_path / "drafts").folder
    )
    pushed(registry)
    pushed(registry, 2.0)
    forced(registry, "v1")
    forced(registry, "v2")
    assert verify(registry, "tickets", "v1", None).ok
    moves = tmp_path / "repo" / "tickets" / "moves"
    first = json.loads((moves / "0001.json").read_text())
    (moves / "0001.json").write_text(json.dumps({**first, "by": "nobody"}))
    found = verify(registry, "tickets", "v1", None)
    assert found.checks[0][:2] == ("trail", False)
    weights = tmp_path / "repo" / "tickets" / "v2" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    found = verify(registry, "tickets", "v2", None)
    assert "adapter_model.safetensors" in found.checks[-1].detail
    assert found.ok is False


def test_a_manifest_that_was_swapped_after_the_promotion_is_seen(tmp_path: Path):
    repo = FolderRepo(tmp_path / "repo")
    registry = Registry(
        repo=repo, clock=ManualClock(), by="a", stage=Drafts(tmp_path / "drafts").folder
    )
    pushed(registry)
    forced(registry, "v1")
    with_metrics(registry, "v1", {"verdict": "Improved"})
    checks = {check.name: check.ok for check in verify(registry, "tickets", None, None).checks}
    assert checks == {"trail": True, "files": True, "manifest": False}


def test_a_mirror_has_the_same_versions_and_moves(registry: Registry, tmp_path: Path):
    for seed in (1.0, 2.0):
        pushed(registry, seed)
    forced(registry, "v1")
    copy = FolderRepo(tmp_path / "copy")
    assert mirror(registry, copy) == {"tickets": ["v1", "v2", "move 1"]}
    assert mirror(registry, copy) == {}
    forced(registry, "v2")
    remove(registry, "tickets", "v1")
    mirror(registry, copy)
    ours, theirs = registry.repo.history("tickets"), copy.history("tickets")
    assert (list(theirs.moves), theirs.versions) == (list(ours.moves), ours.versions)
    other = Registry(
        repo=copy, clock=ManualClock(), by="b", stage=Drafts(tmp_path / "drafts").folder
    )
    rollback_or_more(other)
    with pytest.raises(Conflict, match="another one"):
        mirror(registry, copy)


def rollback_or_more(registry: Registry) -> None:
    pushed(registry, 9.0)
    forced(registry, registry.repo.history("tickets").versions[-1], alias="candidate")


def test_eight_who_push_at_once_make_one_version_of_each(tmp_path: Path):
    def one(number: int) -> None:
        own = Registry(
            repo=FolderRepo(tmp_path / "repo"),
            clock=ManualClock(),
            by=str(number),
            stage=Drafts(tmp_path / f"drafts-{number}").folder,
        )
        start.wait()
        pushed(own, seed=float(1 + number % 2))

    start = threading.Barrier(8)
    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = FolderRepo(tmp_path / "repo").history("tickets")
    assert history.versions == ["v1", "v2"]


def test_a_link_in_the_repository_is_not_followed(tmp_path: Path):
    repo = FolderRepo(tmp_path / "repo")
    registry = Registry(
        repo=repo, clock=ManualClock(), by="a", stage=Drafts(tmp_path / "drafts").folder
    )
    pushed(registry)
    (tmp_path / "secret").write_text("secret")
    card = tmp_path / "repo" / "tickets" / "v1" / "README.md"
    card.unlink()
    card.symlink_to(tmp_path / "secret")
    with pytest.raises(LocalStateError, match="link"):
        pull(registry, "tickets", "v1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@given(st.text(max_size=80))
def test_no_name_leads_out_of_the_repository(name: str):
    for check in (parse_address, check_task, check_alias):
        checked: Callable[[str], Any] = check
        try:
            checked(name)
        except UsageError:
            continue
        assert ".." not in name.split("@", maxsplit=1)[0].split("/")
        assert not set(name) & set("/\\\0 \n")


STEPS = st.lists(
    st.tuples(st.sampled_from(["promote", "rollback"]), st.integers(1, 4)), max_size=12
)


@given(STEPS)
def test_a_rollback_undoes_the_promotion_before_it(steps: list[tuple[str, int]]):
    """Against the simplest model there is: a stack without the same version twice on top."""
    stack: list[str] = []
    moves: list[Move] = []
    versions = [f"v{n}" for n in range(1, 5)]
    for word, number in steps:
        history = History(task="t", versions=versions, moves=moves)
        if word == "promote":
            after = f"v{number}"
            if history.aliases.get("champion") == after:
                continue
            stack.append(after)
        else:
            found = history.before("champion")
            assert found == (stack[-2] if len(stack) > 1 else None)
            if found is None:
                continue
            stack.pop()
            after = stack[-1]
        moves.append(
            Move(
                number=len(moves) + 1,
                at=ManualClock().now(),
                by="a",
                action=Action(word),
                alias="champion",
                after=after,
            )
        )
        assert History(task="t", versions=versions, moves=moves).aliases == {"champion": after}
