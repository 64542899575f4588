"""Which base models a server is willing to name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from ftctl_worker.errors import ModelError
from ftctl_worker.models.bases import BaseModel, Catalog

from tests.worker import servers
from tests.worker.servers import Worker


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("inside/one", "outside/two"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    return tmp_path


def test_folders_below_a_models_dir_go_by_their_name(models: Path) -> None:
    catalog = Catalog(models_dirs=(models / "inside",))
    assert catalog.resolve("one").location == str(models / "inside" / "one")
    assert "one" in [base.name for base in catalog.available()]
    assert catalog.resolve(str(models / "inside" / "one")).kind == "folder"


@pytest.mark.parametrize("name", ["../outside/two", "one/../../outside/two", "", ".", "..", "\0"])
def test_no_name_leads_out_of_a_models_dir(models: Path, name: str) -> None:
    with pytest.raises(ModelError):
        Catalog(models_dirs=(models / "inside",)).resolve(name)


def test_a_link_does_not_lead_out_either(models: Path) -> None:
    (models / "inside" / "link").symlink_to(models / "outside" / "two")
    with pytest.raises(ModelError):
        Catalog(models_dirs=(models / "inside",)).resolve("link")


def test_paths_and_hub_models_need_permission(models: Path) -> None:
    path = str(models / "outside" / "two")
    with pytest.raises(ModelError, match="--allow-path"):
        Catalog().resolve(path)
    assert Catalog(allow_paths=(Path(path),)).resolve(path).location == path
    with pytest.raises(ModelError, match="--allow-model"):
        Catalog().resolve("org/name")
    assert Catalog(allow_models=("org/name",)).resolve("org/name").kind == "hub"
    pinned = Catalog(allow_any=True).resolve("org/name@v1.0")
    assert (pinned.location, pinned.revision) == ("org/name", "v1.0")
    assert BaseModel.from_json(pinned.to_json()) == pinned


@pytest.mark.parametrize("name", ["http://169.254.169.254/x", "file:///etc/passwd", "a/b/c", "@"])
def test_addresses_are_no_model_names(name: str) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        Catalog(allow_any=True).resolve(name)


def test_a_base_model_shows_its_licence_and_size(worker: Worker, models_dir: Path) -> None:
    tiny = worker.client.models.retrieve("tiny").model_dump()
    assert tiny["license"] == "apache-2.0"
    assert tiny["source"] == "folder"
    assert 5_000_000 < tiny["bytes"] < 7_000_000
    assert worker.client.models.retrieve("mini").model_dump()["license"] is None
    said = subprocess.run(
        servers.command("models", "--models-dir", str(models_dir), "--json"),
        env=servers.environment(),
        capture_output=True,
        check=True,
    )
    listed = {one["id"]: one for one in json.loads(said.stdout)["data"]}
    assert listed["tiny"]["bytes"] == tiny["bytes"]
    assert listed["mini"]["bytes"] > 0
