"""The worker over a repository of adapters: names, batches, moves without a restart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

pytest.importorskip("torch")

from ftctl_worker.models import adapters

from orchestrator.domain.clock import ManualClock
from orchestrator.store.adapter_folder import FolderRepo
from orchestrator.store.drafts import Drafts
from orchestrator.usecases.adapters.aliases import promote, remove, rollback
from orchestrator.usecases.adapters.push import Origin, push, take_in
from orchestrator.usecases.adapters.registry import Registry
from tests.worker import servers
from tests.worker.servers import Worker
from tests.worker.test_lora import adapted

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
ASKED: list[Any] = [{"role": "user", "content": "colour of sky"}]
MANY = 34


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Registry:
    """A task with two versions, and one with more than are kept in memory."""
    folder = tmp_path_factory.mktemp("repository")
    repo = FolderRepo(folder / "repo")
    registry = Registry(
        repo=repo, clock=ManualClock(), by="a", stage=Drafts(folder / "drafts").folder
    )
    for task, count in (("paint", 2), ("many", MANY)):
        for seed in range(count):
            own = folder / f"{task}-{seed}"
            model = adapted(models_dir, 100 * len(task) + seed)
            adapters.save(model, own, base="mini", name="n", job_id="j", step=1, loss=0.0)
            keep(registry, task, own)
    promote(registry, "paint", "v1", forced=True, reason="first")
    return registry


def keep(registry: Registry, task: str, own: Path) -> None:
    with registry.stage() as stage:
        take_in(own, stage, None)
        push(registry, stage, task, Origin(base_model={"name": "mini"}))


@pytest.fixture(scope="module")
def served(
    registry: Registry, tmp_path_factory: pytest.TempPathFactory, models_dir: Path
) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("served")
    options = ("--models-dir", str(models_dir), "--adapters", registry.repo.where)
    with servers.running(folder, *options, "--max-batch", "40") as worker:
        yield worker


def ask(worker: Worker, model: str, tokens: int = 8) -> Any:
    return worker.client.chat.completions.create(
        model=model, messages=ASKED, max_tokens=tokens, temperature=0
    )


def said(worker: Worker, model: str) -> str:
    return str(ask(worker, model).choices[0].message.content)


def batches(worker: Worker) -> int:
    root = worker.url.removesuffix("/v1")
    headers = {"authorization": f"Bearer {servers.TOKEN}"}
    text = worker.http.get(f"{root}/metrics", headers=headers).text
    found = re.search(r"^ftctl_worker_chat_batches_total (\d+)", text, re.MULTILINE)
    assert found
    return int(found[1])


def test_a_task_an_alias_and_a_version_answer_and_say_which(served: Worker):
    by_name = {name: ask(served, name) for name in ("paint", "paint@champion", "paint@v1")}
    assert {answer.model for answer in by_name.values()} == {"paint@v1"}
    fingerprints = {answer.system_fingerprint for answer in by_name.values()}
    assert len(fingerprints) == 1
    assert str(fingerprints.pop()).startswith("paint@v1-")
    assert len({answer.choices[0].message.content for answer in by_name.values()}) == 1
    raw = served.client.chat.completions.with_raw_response.create(
        model="paint@v2", messages=ASKED, max_tokens=2
    )
    assert raw.headers["x-ftctl-adapter"] == "paint@v2"
    assert said(served, "paint@v2") != said(served, "paint@v1") != said(served, "mini")


def test_models_lists_what_can_be_asked_for(served: Worker):
    listed = {model.id: model for model in served.client.models.list()}
    assert {"mini", "paint", "paint@champion", "paint@v1", "paint@v2"} <= set(listed)
    assert "many" not in listed  # it has no champion
    assert served.client.models.retrieve("paint").model_dump()["root"] == "paint@v1"
    with pytest.raises(openai.BadRequestError, match="adapters remove"):
        served.client.models.delete("paint@v2")


@pytest.mark.parametrize(
    "name",
    ["paint@gone", "paint@v3", "many", "many@champion", "../paint", "paint/../paint", "paint@../v1",
     "paint@v1/../../x", "nothing", "paint\0"],
)  # fmt: skip
def test_a_name_without_anything_behind_it_is_not_found(served: Worker, name: str):
    with pytest.raises(openai.NotFoundError):
        ask(served, name)


def test_a_promotion_and_a_rollback_need_no_restart(served: Worker, registry: Registry):
    v1, v2 = said(served, "paint@v1"), said(served, "paint@v2")
    for _ in range(3):
        promote(registry, "paint", "v2", forced=True, reason="better")
        assert said(served, "paint") == v2
        rollback(registry, "paint")
        assert said(served, "paint") == v1


def test_requests_for_different_adapters_share_a_batch(served: Worker):
    expected = {name: said(served, name) for name in ("paint@v1", "paint@v2", "mini")}
    stream = served.client.chat.completions.create(
        model="mini", messages=ASKED, max_tokens=200, temperature=0, stream=True
    )
    next(iter(stream))
    before = batches(served)
    with ThreadPoolExecutor(3) as pool:
        found = dict(
            zip(expected, pool.map(lambda name: said(served, name), expected), strict=True)
        )
    stream.close()
    assert found == expected
    assert batches(served) - before == 1


def test_more_adapters_than_are_kept_answer_in_one_batch(served: Worker):
    names = [f"many@v{number}" for number in range(1, MANY + 1)]
    with ThreadPoolExecutor(MANY) as pool:
        together = list(pool.map(lambda name: said(served, name), names))
    alone = [said(served, name) for name in names]
    assert together == alone
    assert len(set(alone)) > MANY / 2


def test_one_that_does_not_fit_its_base_fails_alone(
    served: Worker, registry: Registry, tmp_path: Path
):
    from tests.factories import adapter_folder

    own = adapter_folder(tmp_path / "own", base="mini")
    keep(registry, "broken", own)
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(ask, served, "broken@v1")
        good = pool.submit(said, served, "paint@v1")
        with pytest.raises(openai.BadRequestError, match="do not fit a layer of 64 inputs"):
            bad.result()
        assert good.result() == said(served, "paint@v1")


def test_a_removed_version_is_gone_with_the_next_request(
    served: Worker, registry: Registry, tmp_path: Path, models_dir: Path
):
    own = tmp_path / "own"
    model = adapted(models_dir, 77)
    adapters.save(model, own, base="mini", name="n", job_id="j", step=1, loss=0.0)
    keep(registry, "short-lived", own)
    assert said(served, "short-lived@v1")
    remove(registry, "short-lived", "v1")
    with pytest.raises(openai.NotFoundError, match="no version v1"):
        ask(served, "short-lived@v1")
    with pytest.raises(openai.NotFoundError, match="not allowed"):
        ask(served, str(own))  # a folder, on a server that was not told to allow it


def test_the_files_of_an_adapter_come_with_their_digests(
    served: Worker, registry: Registry, tmp_path: Path
):
    headers = {"authorization": f"Bearer {servers.TOKEN}"}
    root = f"{served.url}/worker/models"
    told = served.http.get(f"{root}/paint@v2/adapter", headers=headers).json()
    assert told["base_model"]["name"] == "mini"
    assert told["base_model"]["revision"].startswith("sha256:")
    place = registry.repo.place("paint", "v2")
    assert place is not None
    manifest = json.loads((place / "ftctl.json").read_text())
    digests = {file["name"]: file["sha256"] for file in told["files"]}
    assert digests == {name: fact["sha256"] for name, fact in manifest["files"].items()}
    weights = served.http.get(f"{root}/paint@v2/adapter/adapter_model.safetensors", headers=headers)
    assert weights.content == (place / "adapter_model.safetensors").read_bytes()
    for path in ("paint@v2/adapter/ftctl.json", "paint@v2/adapter/..%2f..%2fx", "gone/adapter"):
        assert served.http.get(f"{root}/{path}", headers=headers).status_code == 404
    assert served.http.get(f"{root}/mini/adapter", headers=headers).status_code == 400
    assert served.http.get(f"{root}/paint@v2/adapter").status_code == 401
