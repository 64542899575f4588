"""Large files travel in parts, go on where a dead process stopped, and arrive once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import ConfigurationError, ProviderRejected, ProviderUnreachable
from orchestrator.domain.provider import RemoteFile
from providers.azure import build as build_azure
from providers.openai import build
from providers.retry import Retry
from providers.simulator import Simulator
from providers.uploads import PartedUpload
from providers.wire import WireProvider
from tests.providers.rig import profile, write_rows

LIMIT, PART = 512, 256


class Killed(BaseException):
    """As a signal would end the process."""


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(largest_request=LIMIT) as made:
        yield made


def provider(sim: Simulator, home: Path, kind: str = "openai") -> WireProvider:
    options = {"parts_above": LIMIT, "part_bytes": PART}
    maker = build if kind == "openai" else build_azure
    return maker(profile(kind, sim.url, home, options=options), retry=Retry(sleep=lambda _: None))


def parts_of(path: Path) -> int:
    return -(-path.stat().st_size // PART)


def sent(sim: Simulator, home: Path, path: Path) -> RemoteFile:
    made = provider(sim, home)
    try:
        return made.upload(path, "big.jsonl")
    finally:
        made.close()


@pytest.mark.parametrize("kind", ["openai", "azure"])
def test_a_large_file_arrives_whole_and_says_how_far_it_is(kind: str, tmp_path: Path):
    path, told = write_rows(tmp_path, 20), []
    with Simulator(kind, largest_request=LIMIT) as sim:
        made = provider(sim, tmp_path, kind)
        file = made.upload(path, "big.jsonl", lambda done, total: told.append((done, total)))
        made.close()
        size = path.stat().st_size
        assert (file.name, sim.count("upload_file")) == ("big.jsonl", 0)
        assert sim.count("add_part") == parts_of(path) == len(told)
        assert told[-1] == (size, size)
        with sim._memory.change() as state:
            assert state["files"][file.id]["rows"] == 20
    assert not list((tmp_path / "uploads").iterdir())


def test_a_small_file_travels_as_it_always_did(sim: Simulator, tmp_path: Path):
    sent(sim, tmp_path, write_rows(tmp_path, 3))
    assert (sim.count("upload_file"), sim.count("begin_upload")) == (1, 0)


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_upload_goes_on_with_the_next_part(sim: Simulator, tmp_path: Path, after: int):
    path = write_rows(tmp_path, 20)

    def die(done: int, total: int) -> None:
        if done >= after * PART:
            raise Killed

    killed = provider(sim, tmp_path)
    with pytest.raises(Killed):
        killed.upload(path, "big.jsonl", die)
    killed.close()
    memory = next((tmp_path / "uploads").iterdir())
    assert memory.stat().st_mode & 0o077 == 0
    assert len(json.loads(memory.read_text())["parts"]) == after
    file = sent(sim, tmp_path, path)
    assert sim.count("begin_upload") == 1
    assert sim.count("add_part") == parts_of(path)
    with sim._memory.change() as state:
        assert state["files"][file.id]["rows"] == 20


def test_an_upload_that_ended_meanwhile_begins_again(sim: Simulator, tmp_path: Path):
    path = write_rows(tmp_path, 20)
    sim.order_fault("add_part", "drop_before", times=3)
    with pytest.raises(ProviderUnreachable):
        sent(sim, tmp_path, path)
    with sim._memory.change() as state:
        state["shift"] += 3601
    assert sent(sim, tmp_path, path).bytes == path.stat().st_size
    assert sim.count("begin_upload") == 2


def test_an_upload_that_another_process_ended_is_not_sent_again(sim: Simulator, tmp_path: Path):
    path = write_rows(tmp_path, 20)

    def die(done: int, _: int) -> None:
        if done >= 2 * PART:
            raise Killed

    first = provider(sim, tmp_path)
    with pytest.raises(Killed):
        first.upload(path, "big.jsonl", die)
    first.close()
    memory = next((tmp_path / "uploads").iterdir())
    half_way = memory.read_text()
    file = sent(sim, tmp_path, path)
    memory.write_text(half_way)
    assert sent(sim, tmp_path, path).id == file.id
    assert (sim.count("begin_upload"), sim.count("end_upload")) == (1, 1)


def test_another_file_of_that_name_does_not_go_on_with_this_one(sim: Simulator, tmp_path: Path):
    path = write_rows(tmp_path, 20)
    sim.order_fault("end_upload", "drop_before", times=3)
    with pytest.raises(ProviderUnreachable):
        sent(sim, tmp_path, path)
    path.write_text(path.read_text().replace("wrong", "right"))
    sent(sim, tmp_path, path)
    assert sim.count("add_part") == 2 * parts_of(path)


@pytest.mark.parametrize("fault", ["drop_after_accept", "error_500_after_accept", "half_body"])
def test_a_lost_last_answer_is_settled_by_looking(sim: Simulator, tmp_path: Path, fault: str):
    path = write_rows(tmp_path, 20)
    sim.order_fault("end_upload", fault)
    file = sent(sim, tmp_path, path)
    assert file.bytes == path.stat().st_size
    assert sim.count("end_upload") == 1
    with sim._memory.change() as state:
        assert list(state["files"]) == [file.id]


def test_a_lost_part_is_sent_again_and_counts_once(sim: Simulator, tmp_path: Path):
    path = write_rows(tmp_path, 20)
    sim.order_fault("add_part", "drop_after_accept")
    file = sent(sim, tmp_path, path)
    assert sim.count("add_part") == parts_of(path) + 1
    assert file.bytes == path.stat().st_size


def test_a_refused_upload_is_let_go(sim: Simulator, tmp_path: Path):
    path = write_rows(tmp_path, 20)
    sim.order_fault("end_upload", "refuse", status=400, message="The checksum does not match.")
    with pytest.raises(ProviderRejected, match="checksum"):
        sent(sim, tmp_path, path)
    assert sim.count("cancel_upload") == 1
    assert not list((tmp_path / "uploads").iterdir())


def test_an_upload_about_to_end_is_not_gone_on_with(sim: Simulator, tmp_path: Path):
    path, clock, made = write_rows(tmp_path, 20), ManualClock(), provider(sim, tmp_path)
    upload = PartedUpload(
        host=made, folder=tmp_path / "uploads", account="a", part_bytes=PART, now=clock.now
    )
    sim.order_fault("end_upload", "drop_before", times=3)
    with pytest.raises(ProviderUnreachable):
        upload.send(path, "big.jsonl", lambda *_: None)
    memory = next((tmp_path / "uploads").iterdir())
    state = json.loads(memory.read_text())
    soon = (clock.now() + timedelta(seconds=30)).timestamp()
    memory.write_text(json.dumps({**state, "expires_at": soon}))
    upload.send(path, "big.jsonl", lambda *_: None)
    made.close()
    assert sim.count("begin_upload") == 2


def test_the_size_of_a_part_is_a_number_of_bytes(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="part_bytes"):
        build(profile("openai", None, tmp_path, options={"part_bytes": "64MB"}))
