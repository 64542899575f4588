"""Uploads in parts, named tokens, and what the worker says of itself."""

from __future__ import annotations

import hashlib
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.worker import servers
from tests.worker.servers import TOKEN, Worker

CONTENT = b'{"messages": []}\n' * 1000
AUTH = {"Authorization": f"Bearer {TOKEN}"}


def start(worker: Worker, size: int = len(CONTENT)) -> str:
    return worker.client.uploads.create(
        bytes=size, filename="../a.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    ).id


def test_parts_become_a_file_in_the_order_named(worker: Worker) -> None:
    uploads = worker.client.uploads
    upload = start(worker)
    second = uploads.parts.create(upload, data=CONTENT[9000:]).id
    first = uploads.parts.create(upload, data=CONTENT[:9000]).id
    done = uploads.complete(
        upload,
        part_ids=[first, second],
        md5=hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
    )
    assert done.status == "completed"
    assert done.file is not None
    assert (done.file.bytes, done.file.purpose) == (len(CONTENT), "fine-tune")
    assert worker.client.files.content(done.file.id).read() == CONTENT
    assert list((worker.home / "parts").iterdir()) == []
    with pytest.raises(openai.BadRequestError, match="completed"):
        uploads.parts.create(upload, data=b"more")


def test_of_several_who_complete_an_upload_one_gets_the_file(worker: Worker) -> None:
    uploads = worker.client.uploads
    for _ in range(3):
        upload = start(worker)
        part = uploads.parts.create(upload, data=CONTENT).id

        def complete(_: int, upload: str = upload, part: str = part) -> str:
            try:
                made: Any = uploads.complete(upload, part_ids=[part]).file
            except openai.BadRequestError as error:
                return str(error.code)
            return str(made.id)

        before = {file.id for file in worker.client.files.list()}
        with ThreadPoolExecutor(6) as pool:
            said = list(pool.map(complete, range(6)))
        assert said.count("upload_not_pending") == 5
        assert {file.id for file in worker.client.files.list()} - before <= set(said)


def test_the_sdk_uploads_a_file_in_chunks(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(CONTENT)
    done = worker.client.uploads.upload_file_chunked(
        file=file, mime_type="application/jsonl", purpose="fine-tune", part_size=5000
    )
    assert done.file is not None
    assert worker.client.files.content(done.file.id).read() == CONTENT


def test_what_does_not_fit_is_refused(worker: Worker) -> None:
    uploads = worker.client.uploads
    upload = start(worker, 10)
    part = uploads.parts.create(upload, data=b"12345").id
    for part_ids, said in (
        ([], "part_ids"),
        ([part, part], "part_ids"),
        (["part_x"], "part_ids"),
        ([part], "announced"),
    ):
        with pytest.raises(openai.BadRequestError, match=said):
            uploads.complete(upload, part_ids=part_ids)
    with pytest.raises(openai.BadRequestError, match="announced"):
        uploads.parts.create(upload, data=b"123456")
    rest = uploads.parts.create(upload, data=b"67890").id
    with pytest.raises(openai.BadRequestError) as caught:
        uploads.complete(upload, part_ids=[part, rest], md5="0" * 32)
    assert caught.value.param == "md5"
    assert uploads.cancel(upload).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="cancelled"):
        uploads.complete(upload, part_ids=[part, rest])
    with pytest.raises(openai.NotFoundError):
        uploads.cancel("upload_nothing")
    assert list((worker.home / "parts").iterdir()) == []


def token(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        servers.command("token", *arguments, "--home", str(folder / "home")),
        env=servers.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_named_tokens_are_made_listed_and_revoked(tmp_path: Path) -> None:
    with servers.running(tmp_path) as worker:

        def status(value: str) -> int:
            headers = {"Authorization": f"Bearer {value}"}
            return worker.http.get(f"{worker.url}/models", headers=headers).status_code

        made = token(tmp_path, "add", "alice").stdout.strip()
        other = token(tmp_path, "add", "bob").stdout.strip()
        assert token(tmp_path, "add", "alice").returncode == 3
        assert [status(made), status(other), status(TOKEN), status("wrong")] == [200, 200, 200, 401]
        file = worker.home / "tokens.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert made not in file.read_text()
        assert [line.split("\t")[0] for line in token(tmp_path, "list").stdout.splitlines()] == [
            "alice",
            "bob",
        ]
        assert token(tmp_path, "revoke", "alice").returncode == 0
        assert [status(made), status(other)] == [401, 200]
        assert token(tmp_path, "revoke", "alice").returncode == 3


def test_the_worker_describes_itself(worker: Worker) -> None:
    info = worker.http.get(f"{worker.url}/worker/info", headers=AUTH).json()
    assert info["methods"] == {"supervised": True, "dpo": True, "reinforcement": True}
    assert "mini" in info["models"]["base"]
    assert info["queue"]["jobs"]["running"] >= 0
    assert info["disk"]["free_bytes"] > 0


def test_metrics_need_the_token_and_are_in_prometheus_format(worker: Worker) -> None:
    url = f"{worker.url.removesuffix('/v1')}/metrics"
    assert worker.http.get(url).status_code == 401
    response = worker.http.get(url, headers=AUTH)
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    assert any(line.startswith('ftctl_worker_jobs{status="succeeded"} ') for line in lines)
    assert any('status="401"' in line for line in lines)
    for line in lines:
        assert line.startswith("# ") or float(line.rsplit(" ", 1)[1]) >= 0
