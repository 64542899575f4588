"""The server's edges: tokens, hostile requests, files, limits and exit codes."""

from __future__ import annotations

import json
import random
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from tests.worker import servers
from tests.worker.servers import TOKEN, Worker, colour_rows

AUTH = {"Authorization": f"Bearer {TOKEN}"}
ROUTES = [
    ("GET", "/files"),
    ("POST", "/files"),
    ("GET", "/files/file-x"),
    ("DELETE", "/files/file-x"),
    ("GET", "/files/file-x/content"),
    ("GET", "/fine_tuning/jobs"),
    ("POST", "/fine_tuning/jobs"),
    ("GET", "/fine_tuning/jobs/ftjob-x"),
    ("POST", "/fine_tuning/jobs/ftjob-x/cancel"),
    ("GET", "/fine_tuning/jobs/ftjob-x/events"),
    ("GET", "/fine_tuning/jobs/ftjob-x/checkpoints"),
    ("GET", "/models"),
    ("GET", "/models/m"),
    ("DELETE", "/models/m"),
    ("POST", "/fine_tuning/jobs/ftjob-x/pause"),
    ("POST", "/fine_tuning/jobs/ftjob-x/resume"),
    ("POST", "/uploads"),
    ("POST", "/uploads/upload_x/parts"),
    ("POST", "/uploads/upload_x/complete"),
    ("POST", "/uploads/upload_x/cancel"),
    ("GET", "/fine_tuning/checkpoints/m/permissions"),
    ("POST", "/fine_tuning/checkpoints/m/permissions"),
    ("DELETE", "/fine_tuning/checkpoints/m/permissions/cp_x"),
    ("GET", "/worker/info"),
    ("POST", "/chat/completions"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_needs_the_token(worker: Worker, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        response = worker.http.request(method, worker.url + path, headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"


def test_health_needs_no_token(worker: Worker) -> None:
    url = worker.url.removesuffix("/v1") + "/health"
    assert worker.http.get(url).json()["status"] == "ok"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/fine_tuning/jobs", b""),
        ("/fine_tuning/jobs", b"{"),
        ("/fine_tuning/jobs", b"[]"),
        ("/fine_tuning/jobs", b'"text"'),
        ("/fine_tuning/jobs", b'{"model": NaN}'),
        ("/fine_tuning/jobs", b'{"seed": 1e999}'),
        ("/fine_tuning/jobs", b"[" * 100_000),
        ("/fine_tuning/jobs", b'{"seed": ' + b"9" * 5000 + b"}"),
        ("/fine_tuning/jobs", b'{"model": "\\ud800", "training_file": "x"}'),
        ("/fine_tuning/jobs", b"\xff\xfe"),
        ("/chat/completions", b'{"model": "mini", "messages": [{"role": "\\ud800"}]}'),
        ("/chat/completions", b'{"model": "\\u0000", "messages": []}'),
        ("/chat/completions", b"null"),
    ],
)
def test_hostile_bodies_are_refused_politely(worker: Worker, path: str, body: bytes) -> None:
    response = worker.http.post(worker.url + path, content=body, headers=AUTH)
    assert response.status_code == 400, response.text


def test_bounds_are_those_of_the_description(worker: Worker) -> None:
    file_id = worker.upload(colour_rows(1))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"hyperparameters": {"n_epochs": 51}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": True}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": 257}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"batch_size": 1.5}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"n_epoch": 5}}, "hyperparameters.n_epoch"),
        (
            {"hyperparameters": {"learning_rate_multiplier": 0}},
            "hyperparameters.learning_rate_multiplier",
        ),
        (
            {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}}},
            "method.dpo.hyperparameters.beta",
        ),
        ({"hyperparameters": {"lora": {"rank": 4}}}, "hyperparameters.lora.rank"),
        ({"hyperparameters": {"lora": {"r": 0}}}, "hyperparameters.lora.r"),
        ({"hyperparameters": {"lora": {"dropout": 1}}}, "hyperparameters.lora.dropout"),
        (
            {"hyperparameters": {"lora": {"target_modules": [""]}}},
            "hyperparameters.lora.target_modules",
        ),
        ({"hyperparameters": {"learning_rate": -1}}, "hyperparameters.learning_rate"),
        ({"method": {"type": "reinforcement"}}, "method.reinforcement.grader"),
        ({"method": {"type": "guessing"}}, "method.type"),
        ({"method": {"type": "other"}}, "method.type"),
        ({"method": "supervised"}, "method"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"suffix": ""}, "suffix"),
        ({"seed": 2**31}, "seed"),
        ({"seed": -1}, "seed"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"model": 5}, "model"),
        ({"training_file": None}, "training_file"),
        ({"integrations": [{"type": "wandb"}]}, "integrations"),
    ]
    for change, param in wrong:
        body = {"model": "mini", "training_file": file_id, **change}
        response = worker.http.post(f"{worker.url}/fine_tuning/jobs", json=body, headers=AUTH)
        assert response.status_code == 400, (change, response.text)
        assert response.json()["error"]["param"] == param, (change, response.text)


def test_unknown_routes_methods_and_parameters_get_the_envelope(worker: Worker) -> None:
    get = worker.http.get
    assert get(f"{worker.url.removesuffix('/v1')}/nothing", headers=AUTH).status_code == 404
    wrong_method = worker.http.put(f"{worker.url}/files", headers=AUTH)
    assert wrong_method.status_code == 405
    assert wrong_method.json()["error"]["code"] == "method_not_supported"
    for query in ("limit=0", "limit=x", "limit=99999", "order=sideways", "after=file-nothing"):
        response = get(f"{worker.url}/files?{query}", headers=AUTH)
        assert response.status_code == 400, query
    assert get(f"{worker.url}/fine_tuning/jobs?updated_since=nan", headers=AUTH).status_code == 400
    bomb = worker.http.post(
        f"{worker.url}/fine_tuning/jobs",
        content=b"\x1f\x8b",
        headers={**AUTH, "Content-Encoding": "gzip"},
    )
    assert bomb.status_code == 415


def test_random_bodies_never_break_the_server(worker: Worker) -> None:
    chance = random.Random(4)
    values: list[Any] = [None, True, -1, 1e308, "", "x", [], {}, [[]], {"type": []}, "auto"]
    names = ["model", "training_file", "hyperparameters", "method", "seed", "metadata", "suffix"]
    names += ["messages", "temperature", "stop", "stream", "max_tokens", "tools", "stream_options"]
    for number in range(300):
        body = {name: chance.choice(values) for name in chance.sample(names, 5)}
        path = "/chat/completions" if number % 2 else "/fine_tuning/jobs"
        response = worker.http.post(worker.url + path, json=body, headers=AUTH)
        assert 400 <= response.status_code < 500, (body, response.text)


def test_files_keep_their_bytes_and_their_label_only(worker: Worker) -> None:
    files = worker.client.files
    content = bytes(range(256)) * 2000
    before = {path.name for path in (worker.home / "files").iterdir()}
    made = []
    for name in ("../../etc/passwd", "C:\\x", "a\nb", "/root/.ssh/id", "ü" * 300, "..%2f..", "😀"):
        file = files.create(file=(name, content), purpose="fine-tune")
        made.append(file.id)
        assert file.bytes == len(content)
        assert files.content(file.id).read() == content
    after = {path.name for path in (worker.home / "files").iterdir()}
    assert after - before == set(made)
    for file_id in made:
        assert files.delete(file_id).deleted
    with pytest.raises(openai.NotFoundError):
        files.retrieve(made[0])
    assert {path.name for path in (worker.home / "files").iterdir()} == before
    assert list((worker.home / "uploads").iterdir()) == []


def test_files_expire_when_told_so(worker: Worker) -> None:
    files = worker.client.files
    kept = files.create(
        file=("a.jsonl", b"{}"),
        purpose="fine-tune",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert kept.expires_at == kept.created_at + 3600
    with pytest.raises(openai.BadRequestError) as caught:
        files.create(
            file=("a.jsonl", b"{}"),
            purpose="fine-tune",
            expires_after={"anchor": "created_at", "seconds": 10},
        )
    assert caught.value.param == "expires_after.seconds"


def test_file_lists_are_paged_in_both_orders(worker: Worker) -> None:
    ids = [worker.upload(colour_rows(1)) for _ in range(5)]
    newest = [file.id for file in worker.client.files.list(limit=2, purpose="fine-tune")]
    oldest = [file.id for file in worker.client.files.list(limit=3, order="asc")]
    assert newest[:5] == ids[::-1]
    assert oldest[-5:] == ids
    assert len(set(newest)) == len(newest)


def test_a_bad_form_is_refused(worker: Worker) -> None:
    url = f"{worker.url}/files"
    multipart = {**AUTH, "Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\nbroken", b"--x--\r\n", b"no boundary at all"):
        assert worker.http.post(url, content=body, headers=multipart).status_code == 400
    assert worker.http.post(url, content=b"{}", headers=AUTH).status_code == 400
    for purpose in ("fine_tune", ""):
        form = worker.http.post(
            url, files={"file": ("a", b"x")}, data={"purpose": purpose}, headers=AUTH
        )
        assert form.json()["error"]["param"] == "purpose"


def test_too_large_an_upload_is_413(tmp_path: Path) -> None:
    with servers.running(tmp_path, "--max-upload-mib", "1") as worker:
        with pytest.raises(openai.APIStatusError) as caught:
            worker.client.files.create(file=("a.jsonl", bytes(3_000_000)), purpose="fine-tune")
        assert caught.value.status_code == 413

        def endless() -> Any:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(40):
                yield bytes(65536)

        response = worker.http.post(
            f"{worker.url}/files",
            content=endless(),
            headers={**AUTH, "Content-Type": "multipart/form-data; boundary=x"},
        )
        assert response.status_code == 413
        assert list((worker.home / "uploads").iterdir()) == []
        assert list((worker.home / "files").iterdir()) == []


def test_the_home_is_private(worker: Worker) -> None:
    worker.upload(colour_rows(1))
    for path in worker.home.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE(worker.home.stat().st_mode) == 0o700


def test_the_token_is_nowhere_on_disk_or_in_the_command_line(worker: Worker) -> None:
    shown = Path(f"/proc/{worker.process.pid}/cmdline").read_bytes()
    assert TOKEN.encode() not in shown
    for path in worker.home.rglob("*"):
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()
    assert TOKEN not in worker.log.read_text()


def test_garbage_on_the_socket_does_no_harm(worker: Worker) -> None:
    place = urlsplit(worker.url)
    for garbage in (b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/files HTTP/1.1\r\n"):
        with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
            connection.sendall(garbage)
    assert list(worker.client.models.list())


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        servers.command(*arguments),
        env=servers.environment(**more),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_server_starts_without_torch() -> None:
    code = "import sys, ftctl_worker.server as s; sys.exit('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=servers.environment(), timeout=30, check=False
    )
    assert ended.returncode == 0


def test_exit_codes_name_the_kind_of_trouble(worker: Worker, tmp_path: Path) -> None:
    assert run("serve", "--port", "70000").returncode == 2
    without = run("serve", "--home", str(tmp_path / "none"))
    assert without.returncode == 3
    assert "ftctl-worker token add" in without.stderr
    missing = run("serve", "--home", str(tmp_path / "h"), "--token-env", "NOT_SET")
    assert missing.returncode == 3
    assert "NOT_SET" in missing.stderr
    second = run("serve", "--home", str(worker.home), "--token-env", "WORKER_TOKEN")
    assert second.returncode == 5
    assert "already serves" in second.stderr
    assert "Traceback" not in missing.stderr + second.stderr


def test_the_ready_file_is_private_and_goes_with_the_server(tmp_path: Path) -> None:
    with servers.running(tmp_path) as worker:
        ready = tmp_path / "ready.json"
        assert json.loads(ready.read_text())["pid"] == worker.process.pid
        assert stat.S_IMODE(ready.stat().st_mode) == 0o600
        assert worker.stop() == 0
        assert not ready.exists()
