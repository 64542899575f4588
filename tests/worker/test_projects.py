"""Two projects on one server: over all routes, neither sees, uses or removes what the other has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from ftctl_worker.database import Database
from ftctl_worker.home import Home
from ftctl_worker.job import JobDraft, JobStatus
from ftctl_worker.models.bases import BaseModel
from ftctl_worker.queue.jobs import JobStore
from ftctl_worker.serving.chat_request import ChatRequest
from ftctl_worker.serving.engine import Engine
from ftctl_worker.serving.ticket import Target
from ftctl_worker.tokens import TokenFile

from tests.worker import servers
from tests.worker.contract import check_answer
from tests.worker.servers import Worker, colour_rows

KEY = {"Idempotency-Key": "the same in both"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Worker]:
    """A server whose projects may have three open jobs and keep a MiB each."""
    options = ("--models-dir", str(models_dir), "--project-jobs", "3", "--project-mib", "1")
    with servers.running(tmp_path_factory.mktemp("shared"), *options) as running:
        yield running


class Tenant:
    """Somebody with a token of a project of its own, and one of everything."""

    def __init__(self, worker: Worker, name: str) -> None:
        self.url = worker.url
        self.tokens = TokenFile(Home(worker.home).tokens)
        self.token = self.tokens.add(name, name)
        self.http = httpx2.Client(
            headers={"Authorization": f"Bearer {self.token}"},
            event_hooks={"response": [check_answer]},
            timeout=60,
            trust_env=False,
        )
        self.client = openai.OpenAI(
            base_url=worker.url, api_key=self.token, max_retries=0, http_client=self.http
        )
        self.worker = replace(worker, client=self.client, http=self.http)
        self.file = self.worker.upload(colour_rows())
        self.upload = self.client.uploads.create(
            bytes=4, filename="a", mime_type="text/jsonl", purpose="fine-tune"
        ).id
        self.part = self.client.uploads.parts.create(self.upload, data=b"data").id
        self.job = self.create()
        assert self.job.id == self.create().id, "the key of a project makes one job"

    def wait(self) -> None:
        """Wait for the job, and keep what it made."""
        self.job = self.worker.wait_job(self.job.id)
        self.model: str = self.job.fine_tuned_model

    def create(self) -> Any:
        return self.client.fine_tuning.jobs.create(
            model="mini",
            training_file=self.file,
            hyperparameters={"n_epochs": 1},
            extra_headers=KEY,
        )

    def answer(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return self.http.request(method, f"{self.url}{path}", **more)

    def everything(self) -> dict[str, Any]:
        """Return what the tenant has, as the server tells it."""
        lists = ("/files", "/fine_tuning/jobs", "/models")
        said = {path: self.answer("GET", path).json()["data"] for path in lists}
        info = self.answer("GET", "/worker/info").json()
        return {**said, "tuned": info["models"]["tuned"], "jobs": info["queue"]["jobs"]}


@pytest.fixture(scope="module")
def tenants(shared: Worker) -> Iterator[tuple[Tenant, Tenant]]:
    both = Tenant(shared, "a"), Tenant(shared, "b")
    for one in both:
        one.wait()
    yield both
    for one in both:
        one.http.close()


def routes_to(other: Tenant, own_file: str) -> list[tuple[str, str, Any]]:
    """Return a request for each thing of another project, by every route that takes one."""
    job, chat = (
        f"/fine_tuning/jobs/{other.job.id}",
        {"messages": [{"role": "user", "content": "a"}]},
    )
    create = {"model": "mini", "training_file": other.file}
    return [
        ("GET", f"/files/{other.file}", None),
        ("GET", f"/files/{other.file}/content", None),
        ("DELETE", f"/files/{other.file}", None),
        ("GET", f"/files/{other.job.result_files[0]}", None),
        ("GET", f"/files/{other.job.result_files[0]}/content", None),
        ("GET", f"/files?after={other.file}", None),
        ("POST", f"/uploads/{other.upload}/parts", None),
        ("POST", f"/uploads/{other.upload}/complete", {"part_ids": [other.part]}),
        ("POST", f"/uploads/{other.upload}/cancel", None),
        ("GET", job, None),
        *(("POST", f"{job}/{verb}", None) for verb in ("cancel", "pause", "resume")),
        *(("GET", f"{job}/{what}", None) for what in ("events", "checkpoints")),
        ("GET", f"/fine_tuning/jobs?after={other.job.id}", None),
        ("POST", "/fine_tuning/jobs", create),
        (
            "POST",
            "/fine_tuning/jobs",
            {**create, "training_file": own_file, "validation_file": other.file},
        ),
        ("GET", f"/models/{other.model}", None),
        ("DELETE", f"/models/{other.model}", None),
        ("POST", "/chat/completions", {"model": other.model, **chat}),
        ("POST", "/chat/completions", {"model": f"{other.model}:ckpt-step-3", **chat}),
        ("POST", "/responses", {"model": other.model, "input": "a"}),
        ("GET", f"/worker/models/{other.model}/adapter", None),
        ("GET", f"/worker/models/{other.model}/adapter/adapter_config.json", None),
        ("GET", f"/fine_tuning/checkpoints/{other.model}/permissions", None),
        ("POST", f"/fine_tuning/checkpoints/{other.model}/permissions", {"project_ids": ["a"]}),
        ("DELETE", f"/fine_tuning/checkpoints/{other.model}/permissions/cp_1", None),
    ]


def test_nothing_of_a_project_is_there_for_another(tenants: tuple[Tenant, Tenant]) -> None:
    before = [one.everything() for one in tenants]
    for asking, other in itertools.permutations(tenants):
        for method, path, body in routes_to(other, asking.file):
            form = {"files": {"data": b"x"}} if path.endswith("/parts") else {}
            answer = asking.answer(method, path, json=body, **form)
            assert answer.status_code in {400, 404}, (method, path, answer.text)
            nothing = path.replace(other.file, "file-0").replace(other.job.id, "ftjob-0")
            nothing = nothing.replace(other.upload, "upload_0").replace(other.model, "ft:0")
            unknown = asking.answer(method, nothing, json=body, **form)
            assert answer.status_code == unknown.status_code, (method, path)
    assert [one.everything() for one in tenants] == before
    for mine, theirs in itertools.permutations(before):
        for path in ("/files", "/fine_tuning/jobs"):
            assert not {one["id"] for one in mine[path]} & {one["id"] for one in theirs[path]}
        assert mine["tuned"] == 2


def test_each_has_a_quota_of_its_own(tenants: tuple[Tenant, Tenant]) -> None:
    first, second = tenants
    for size in (600_000, 300_000):
        first.client.files.create(file=("a", bytes(size)), purpose="user_data")
    with pytest.raises(openai.PermissionDeniedError) as full:
        first.client.files.create(file=("a", bytes(200_000)), purpose="user_data")
    assert full.value.code == "quota_exceeded"
    with pytest.raises(openai.PermissionDeniedError):
        first.client.uploads.create(
            bytes=200_000, filename="a", mime_type="text/jsonl", purpose="fine-tune"
        )
    second.client.files.create(file=("a", bytes(200_000)), purpose="user_data")


def test_a_revoked_token_opens_nothing_from_the_next_request_on(shared: Worker) -> None:
    file = TokenFile(Home(shared.home).tokens)
    headers = {"Authorization": f"Bearer {file.add('gone', 'c')}"}
    with httpx2.Client(headers=headers, trust_env=False, timeout=60) as http:
        assert http.get(f"{shared.url}/files").json()["data"] == []
        file.revoke("gone")
        assert http.get(f"{shared.url}/files").status_code == 401


def test_projects_take_turns_in_the_queue(tmp_path: Path) -> None:
    jobs = JobStore(Database(tmp_path / "db"), most_of_project=3)
    for project in ("a", "a", "a", "b"):
        draft = JobDraft(
            model="m", training_file="f", validation_file=None, suffix=None, seed=1, metadata=None,
            requested={}, project=project,
        )  # fmt: skip
        jobs.accept(jobs.create(draft)[0].id)
    taken = []
    while (job := jobs.next_queued()) is not None:
        jobs.start(job)
        taken.append(job.project)
    assert taken == ["a", "b", "a", "a"]
    assert jobs.counts("b")[JobStatus.RUNNING] == 1


def test_projects_take_turns_in_the_line_of_chats(tmp_path: Path) -> None:
    engine = Engine(cache=tmp_path, threads=1, precision="fp32", max_batch=1)
    engine._thread = object()  # type: ignore[assignment] # nobody answers: the line stays
    chat = ChatRequest(
        model="m", messages=[], tools=None, max_tokens=1, temperature=1, top_p=1, seed=1, stop=(),
        stream=False, include_usage=False,
    )  # fmt: skip
    base = BaseModel(name="m", kind="folder", location="m")
    for project in ("a", "a", "a", "b", "b", "c"):
        engine.submit(chat, Target(base, None, project), lambda _: None)
    line = [one.target.project for one in engine._waiting]
    assert line == ["a", "b", "c", "a", "b", "a"]
