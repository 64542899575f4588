"""What clients send that nobody meant: forms of JSON, filters, methods, and requests that stall."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
from ftctl_worker import strictjson
from hypothesis import given
from hypothesis import strategies as st

from tests.worker import contract, servers
from tests.worker.servers import TOKEN, Worker, colour_rows, wait_for

AUTH = {"Authorization": f"Bearer {TOKEN}"}


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/fine_tuning/jobs", '{"hyperparameters": {"learning_rate_multiplier": 1' + "0" * 400 + "}}"),
        ("/fine_tuning/jobs", '{"hyperparameters": {"lora": {"alpha": 1' + "0" * 400 + "}}}"),
        ("/fine_tuning/alpha/graders/validate", '{"grader": {"type": {}, "name": "a"}}'),
        ("/fine_tuning/alpha/graders/run", '{"grader": {"type": [], "name": "a"}}'),
        ("/fine_tuning/jobs", '{"metadata": {"a": ' + nested(120) + "}}"),
        ("/fine_tuning/jobs", nested(900)),
        ("/fine_tuning/jobs", nested(5000)),
        ("/chat/completions", '{"model": "mini", "tools": ' + nested(900) + "}"),
    ],
)  # fmt: skip
def test_values_that_something_would_stumble_over_are_refused(
    worker: Worker, path: str, body: str
) -> None:
    response = worker.http.post(worker.url + path, content=body.encode(), headers=AUTH)
    assert response.status_code == 400, response.text


def test_a_hundred_levels_are_read_and_one_more_is_refused() -> None:
    assert strictjson.loads(nested(100)) is not None
    assert strictjson.loads(json.dumps({"a": ["[" * 200, {}], "b": [[]] * 200})) is not None
    with pytest.raises(strictjson.JsonRefusedError, match="nested too deeply"):
        strictjson.loads(nested(101))
    with pytest.raises(strictjson.JsonRefusedError, match="nested too deeply"):
        strictjson.loads('{"a":' * 101 + "1" + "}" * 101)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    )
)  # fmt: skip
def test_what_is_read_can_be_written_and_read_again(value: Any) -> None:
    text = json.dumps(value)
    try:
        read = strictjson.loads(text)
    except strictjson.JsonRefusedError:
        return  # a lone surrogate, or an integer of hundreds of digits
    assert strictjson.loads(strictjson.dumps(read)) == read == value


@pytest.mark.parametrize(
    "query", ["metadata=x", "metadata", "metadata=", "metadata.a=b&metadata=a", "metadata[a][b]=1"]
)
def test_a_filter_that_is_none_is_refused_and_not_left_out(worker: Worker, query: str) -> None:
    response = worker.http.get(f"{worker.url}/fine_tuning/jobs?{query}", headers=AUTH)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "metadata"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/files", "GET, HEAD, POST"),
        ("/files/file-x", "DELETE, GET, HEAD"),
        ("/models/a/b", "DELETE, GET, HEAD"),
        ("/fine_tuning/jobs/x/cancel", "POST"),
    ],
)
def test_a_wrong_method_is_told_all_the_right_ones(worker: Worker, path: str, allowed: str) -> None:
    response = worker.http.put(worker.url + path, headers=AUTH)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed


def test_the_expiry_of_a_file_may_come_as_json(worker: Worker) -> None:
    def create(expiry: str) -> Any:
        return worker.http.post(
            f"{worker.url}/files",
            files={"file": ("a.jsonl", b"{}")},
            data={"purpose": "fine-tune", "expires_after": expiry},
            headers=AUTH,
        )

    made = create('{"anchor": "created_at", "seconds": 3600}').json()
    assert made["expires_at"] == made["created_at"] + 3600
    for wrong in (
        '{"anchor": "created_at"}',
        "{}",
        "[",
        '{"anchor": "created_at", "seconds": "x"}',
    ):
        assert create(wrong).status_code == 400, wrong
    misspelt = worker.http.post(
        f"{worker.url}/files",
        files={"file": ("a.jsonl", b"{}")},
        data={"purpose": "fine-tune", "expires_after[second]": "3600"},
        headers=AUTH,
    )
    assert misspelt.json()["error"]["param"] == "expires_after[second]"


def test_a_checkpoint_is_shared_with_nobody_and_cannot_be(worker: Worker, tuned_job: Any) -> None:
    permissions = worker.client.fine_tuning.checkpoints.permissions
    for name in [model.id for model in worker.client.models.list() if model.id.startswith("ft:")]:
        assert list(permissions.list(name, order="ascending", limit=5)) == []
    name = tuned_job.fine_tuned_model
    with pytest.raises(openai.BadRequestError) as refused:
        permissions.create(name, project_ids=["proj_1"])
    assert (refused.value.code, refused.value.param) == ("unsupported_operation", "project_ids")
    assert "ftctl-worker token add" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        permissions.delete("cp_1", fine_tuned_model_checkpoint=name)
    with pytest.raises(openai.NotFoundError) as unknown:
        permissions.list("ft:nothing")
    assert unknown.value.param == "fine_tuned_model_checkpoint"
    here = f"{worker.url}/fine_tuning/checkpoints/{name}/permissions"
    for query in ("limit=0", "order=up", "after=cp_1"):
        assert worker.http.get(f"{here}?{query}", headers=AUTH).status_code == 400
    assert worker.http.post(here, json={"project_ids": "all"}, headers=AUTH).status_code == 400


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Worker]:
    """A server that waits a second for those who stall, and has one chat answered, two in line."""
    options = ["--models-dir", str(models_dir), "--idle-seconds", "1"]
    options += ["--max-batch", "1", "--max-waiting", "2"]
    with servers.running(tmp_path_factory.mktemp("hasty"), *options) as running:
        yield running


def said(worker: Worker, *pieces: bytes) -> bytes:
    """Send pieces, and return all that comes until the server hangs up."""
    place = urlsplit(worker.url)
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        while some := connection.recv(65536):
            received += some
    return received


HEAD = (
    f"POST /v1/fine_tuning/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
)


def test_a_body_that_stalls_is_answered_and_its_connection_closed(hasty: Worker) -> None:
    for framing in (
        b"Content-Length: 500\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ):
        answer = said(hasty, HEAD + framing)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in answer
    form = HEAD.replace(b"fine_tuning/jobs", b"files")
    form += b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 500\r\n\r\n"
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nsome'
    assert said(hasty, form + start).startswith(b"HTTP/1.1 408 ")
    assert list((hasty.home / "uploads").iterdir()) == []
    large = b"Content-Length: 99999999999\r\n\r\n"
    assert said(hasty, HEAD + large).startswith(b"HTTP/1.1 413 ")


def hung_up(worker: Worker) -> int:
    """Return how many clients the server has seen go away in the middle of a request."""
    text = worker.http.get(worker.url.removesuffix("/v1") + "/metrics", headers=AUTH).text
    lines = [line for line in text.splitlines() if 'status="499"' in line]
    return sum(int(line.rpartition(" ")[2]) for line in lines)


def test_who_hangs_up_in_the_middle_leaves_neither_a_file_nor_a_word_in_the_log(
    worker: Worker,
) -> None:
    place = urlsplit(worker.url)
    before, gone = worker.log.read_text(), hung_up(worker)
    form = HEAD.replace(b"fine_tuning/jobs", b"files")
    form += b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 500\r\n\r\n"
    form += b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nsome'
    for sent in (form, HEAD + b"Content-Length: 500\r\n\r\n{"):
        with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
            connection.sendall(sent)
    wait_for(lambda: hung_up(worker) == gone + 2)
    assert list((worker.home / "uploads").iterdir()) == []
    assert worker.log.read_text() == before


@pytest.mark.parametrize("sent", [b"", b"GET /v1/mod", HEAD])
def test_a_connection_without_a_whole_request_is_closed(hasty: Worker, sent: bytes) -> None:
    assert said(hasty, sent) == b""


def test_who_sends_and_waits_is_not_cut_off(hasty: Worker) -> None:
    job = hasty.client.fine_tuning.jobs.create(
        model="mini", training_file=hasty.upload(colour_rows()), hyperparameters={"n_epochs": 1}
    )
    assert hasty.wait_job(job.id).status == "succeeded"
    patient = hasty.client.with_options(timeout=240)
    answer = patient.chat.completions.create(
        model="mini", messages=[{"role": "user", "content": "a long answer"}], max_tokens=100
    )
    assert answer.choices


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\1 garbage\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_the_envelope(hasty: Worker, sent: bytes) -> None:
    before = hasty.log.read_text()
    head, _, body = said(hasty, sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    contract.check_schema("ErrorResponse", json.loads(body))
    assert hasty.log.read_text() == before


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/v1/responses/resp_1", "POST /v1/responses"),
        ("/v1/completions", "/v1/chat/completions"),
        ("/chat/completions", "ends with /v1"),
        ("/v1/embeddings", "no embeddings"),
    ],
)
def test_a_url_of_another_api_is_told_what_there_is(
    worker: Worker, path: str, instead: str
) -> None:
    url = worker.url.removesuffix("/v1") + path
    error = worker.http.post(url, json={}, headers=AUTH).json()["error"]
    assert error["code"] == "unknown_url"
    assert instead in error["message"]


def part(name: str, value: str = "", label: str | None = None) -> str:
    shown = "" if label is None else f'; filename="{label}"'
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n{value}\r\n'


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([part("purpose", "fine-tune"), part("purpose", "batch")], "purpose"),
        ([part(f"field {n}") for n in range(50)], None),
        ([part("purpose", "x" * 20_000)], "purpose"),
        ([part("file", "{}", "a"), part("file", "{}", "b")], "file"),
        ([part("purpose", "evals"), part("file", "{}", "a")], "purpose"),
    ],
)
def test_a_form_that_says_too_much_is_refused(
    worker: Worker, parts: list[str], param: str | None
) -> None:
    response = worker.http.post(
        f"{worker.url}/files",
        content="".join([*parts, "--x--\r\n"]).encode(),
        headers={**AUTH, "Content-Type": "multipart/form-data; boundary=x"},
    )
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert list((worker.home / "uploads").iterdir()) == []


def written_tokens(worker: Worker) -> int:
    text = worker.http.get(worker.url.removesuffix("/v1") + "/metrics", headers=AUTH).text
    (line,) = (one for one in text.splitlines() if 'tokens_total{kind="completion"}' in one)
    return int(line.rpartition(" ")[2])


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_more_is_written_for_who_hung_up(worker: Worker, stream: bool) -> None:
    long = {
        "model": "caller",
        "messages": [{"role": "user", "content": "go on"}],
        "seed": 9,
        "max_tokens": 500,
        "stream": stream,
    }
    chats: Any = worker.client.chat.completions
    whole = chats.create(**{**long, "stream": False}).usage.completion_tokens
    assert whole > 300
    before, gone = written_tokens(worker), hung_up(worker)
    body, place = json.dumps(long).encode(), urlsplit(worker.url)
    head = HEAD.replace(b"fine_tuning/jobs", b"chat/completions")
    with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
        connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if stream:
            assert connection.recv(1000)
    if not stream:
        wait_for(lambda: hung_up(worker) == gone + 1)
    chats.create(model="caller", messages=long["messages"], max_tokens=1)
    assert written_tokens(worker) - before < whole


def test_who_finds_the_line_full_is_told_to_come_again(hasty: Worker) -> None:
    def ask(_: int) -> httpx2.Response:
        body = {"model": "mini", "messages": [{"role": "user", "content": "a"}], "seed": 1}
        return hasty.http.post(f"{hasty.url}/chat/completions", json=body, headers=AUTH)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    assert ask(0).status_code == 200
    full = [one for one in answers if one.status_code != 200]
    assert 0 < len(full) < len(answers)
    for one in full:
        assert (one.status_code, one.json()["error"]["code"]) == (429, "queue_full")
        assert 0 < int(one.headers["retry-after"]) <= 60
