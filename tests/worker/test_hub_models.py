"""Base models of the Hub: one commit for good, safetensors only, none of their code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ftctl_worker.errors import ModelError
from ftctl_worker.models.bases import BaseModel
from ftctl_worker.models.hub_pins import HubPins

from tests.providers.hub import TOKEN, LoopbackHub, Repo
from tests.worker import servers
from tests.worker.servers import Worker, colour_rows


@pytest.fixture
def hub(models_dir: Path) -> Iterator[LoopbackHub]:
    """A Hub with the mini model as ``org/mini``."""
    with LoopbackHub() as started:
        files = {file.name: file.read_bytes() for file in (models_dir / "mini").iterdir()}
        started.repos["org/mini"] = Repo(private=False)
        started.repos["org/mini"].commit(files)
        yield started


def variables(hub: LoopbackHub, folder: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_XET": "1",
    }


def trained(worker: Worker, model: str) -> tuple[Any, list[str]]:
    job = worker.client.fine_tuning.jobs.create(
        model=model,
        training_file=worker.upload(colour_rows()),
        hyperparameters={"n_epochs": 1, "batch_size": 24},
    )
    ended = worker.wait_job(job.id)
    return ended, [event.message for event in worker.events(job.id)]


def test_a_model_of_the_hub_stays_the_commit_it_was_loaded_from_first(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    repo = hub.repos["org/mini"]
    (first, files), *_ = repo.commits
    options = ("--allow-model", "org/mini")
    with servers.running(tmp_path, *options, variables=variables(hub, tmp_path)) as worker:
        job, messages = trained(worker, "org/mini")
        assert job.status == "succeeded", job.error
        assert f"The base model org/mini is the commit {first} of the Hub" in messages
        second = repo.commit({**files, "README.md": b"moved", "config.json": b"{}"})
        assert second != first
        again, messages = trained(worker, "org/mini")
        assert again.status == "succeeded", again.error
        assert f"The base model org/mini is the commit {first} of the Hub" in messages
        answer = worker.client.chat.completions.create(
            model=str(job.fine_tuned_model),
            messages=[{"role": "user", "content": "colour of sky 0"}],
            max_tokens=2,
        )
        assert answer.choices
        assert json.loads((worker.home / "hub.json").read_text()) == {"org/mini": first}


def test_pickled_weights_and_code_of_a_model_are_not_used(hub: LoopbackHub, tmp_path: Path) -> None:
    (_, files), *_ = hub.repos["org/mini"].commits
    plain = {name: data for name, data in files.items() if not name.endswith(".safetensors")}
    torch.save({}, tmp_path / "weights.bin")
    pickled = {**plain, "pytorch_model.bin": (tmp_path / "weights.bin").read_bytes()}
    hub.repos["org/pickled"] = Repo(private=False)
    hub.repos["org/pickled"].commit(pickled)
    trap = tmp_path / "trap"
    config = json.loads(files["config.json"])
    auto_map = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    config |= {"auto_map": auto_map, "model_type": "never-heard-of"}
    coded = {**files, "code.py": f"open({str(trap)!r}, 'w')".encode()}
    hub.repos["org/coded"] = Repo(private=False)
    hub.repos["org/coded"].commit({**coded, "config.json": json.dumps(config).encode()})
    with servers.running(
        tmp_path, "--allow-any-model", variables=variables(hub, tmp_path)
    ) as worker:
        for name in ("org/pickled", "org/coded"):
            job, _ = trained(worker, name)
            assert job.status == "failed"
            assert job.error.code == "model_not_usable", job.error
    assert not trap.exists()
    asked = [path for _, path, _ in hub.requests]
    assert not any(path.endswith(("pytorch_model.bin", "code.py")) for path in asked)


def test_what_came_first_counts_and_a_file_that_cannot_be_read_is_no_guess(tmp_path: Path) -> None:
    base = BaseModel(name="org/one", kind="hub", location="org/one")
    pins = HubPins(tmp_path / "hub.json")
    assert pins.of(base) is None
    assert pins.keep(base, "a" * 40) == "a" * 40
    assert pins.keep(base, "b" * 40) == "a" * 40
    assert HubPins(tmp_path / "hub.json").of(base) == "a" * 40
    (tmp_path / "hub.json").write_text("[")
    with pytest.raises(ModelError, match="cannot be read"):
        pins.of(base)
