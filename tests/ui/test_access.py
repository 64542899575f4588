"""Who is let in: one browser a link, this machine's names, and forms of one's own."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from orchestrator.domain.clock import ManualClock
from tests.conftest import Ftctl
from tests.factories import a_dataset, a_job
from tests.ui.visiting import Served, Visitor, served


@pytest.fixture
def here(ftctl: Ftctl) -> Iterator[Served]:
    with served(ftctl) as found:
        yield found


@pytest.fixture
def visitor(here: Served) -> Visitor:
    here.visitor.enter(here.link)
    return here.visitor


PAGES = (
    "/",
    "/submit",
    "/data",
    "/comparisons",
    "/reports",
    "/models",
    "/leaving",
    "/adapters",
    "/costs",
)


@pytest.mark.parametrize("page", [*PAGES, "/jobs/x", "/jobs/x/live", "/nothing"])
def test_nobody_is_let_in_without_a_link(here: Served, page: str):
    answer = here.visitor.get(page)
    assert answer.status == 403
    assert "Open the link" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_link_opens_once_and_the_next_is_told(here: Served):
    first = here.visitor.enter(here.link)
    assert "HttpOnly; SameSite=Strict; Path=/" in first.headers["set-cookie"]
    # A redirect would lose a strict cookie when the link is clicked in another program.
    assert first.status == 200
    assert 'content="0; url=/"' in first.text
    assert here.visitor.get("/").status == 200
    other = Visitor(here.url)
    assert other.enter(here.link).status == 403
    (line,) = here.lines
    assert other.enter(line.split()[-1]).status == 200
    assert other.get("/").status == 200


def test_a_guess_is_no_link(here: Served):
    for guess in ("", "x", here.link[-10:], "é" * 43):
        assert here.visitor.get(f"/start?token={guess.encode().hex()}").status == 403
    here.visitor.cookie = f"ftctl_{here.url.rpartition(':')[2]}=guess"
    assert here.visitor.get("/").status == 403


def test_a_session_ends_after_twelve_hours_without_use(ftctl: Ftctl, visitor: Visitor):
    assert isinstance(ftctl.clock, ManualClock)
    ftctl.clock.at += timedelta(hours=11)
    assert visitor.get("/").status == 200
    ftctl.clock.at += timedelta(hours=11)
    assert visitor.get("/").status == 200
    ftctl.clock.at += timedelta(hours=13)
    assert visitor.get("/").status == 403


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1:1", "localhost", "", "localhost:{port}@evil",
     "127.0.0.1.nip.example:{port}", "localhost:{port}/x", "[::1", "127.0.0.1:x"],
)  # fmt: skip
def test_a_name_that_anybody_can_point_here_is_no_host(visitor: Visitor, host: str):
    named = host.format(port=visitor.host.rpartition(":")[2])
    answer = visitor.ask("GET", "/", headers={"Host": named})
    assert answer.status == 403
    assert "Jobs" not in answer.text


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_this_machine_has_several_names(visitor: Visitor, host: str):
    named = host.format(port=visitor.host.rpartition(":")[2])
    assert visitor.ask("GET", "/", headers={"Host": named}).status == 200


def test_a_proxy_has_a_name_that_was_given(ftctl: Ftctl):
    with served(ftctl, names=frozenset({"box.example"})) as here:
        here.visitor.enter(here.link)
        for host in ("box.example", "box.example:8443"):
            assert here.visitor.ask("GET", "/", headers={"Host": host}).status == 200
        assert here.visitor.ask("GET", "/", headers={"Host": "other.example"}).status == 403


@pytest.fixture
def job(ftctl: Ftctl) -> str:
    app = ftctl.app()
    (ftctl.home / "x").write_bytes(b"{}\n")
    app.datasets.keep(a_dataset(), ftctl.home / "x")
    found = a_job()
    app.jobs.add(found)
    app.close()
    return found.id


@pytest.mark.parametrize(
    ("headers", "mark"),
    [
        ({}, ""),
        ({}, "0" * 64),
        ({"Origin": "http://evil.example"}, None),
        ({"Origin": "null"}, None),
        ({"Sec-Fetch-Site": "cross-site"}, None),
        ({"Sec-Fetch-Site": "same-site"}, None),
        ({"Content-Type": "text/plain"}, None),
        ({"Content-Type": "multipart/form-data"}, None),
    ],
)
def test_a_form_of_another_site_changes_nothing(
    ftctl: Ftctl, job: str, visitor: Visitor, headers: dict[str, str], mark: str | None
):
    form = visitor.get(f"/jobs/{job}/cancel").form(f"/jobs/{job}/cancel")
    good = form.fields["mark"]
    body = f"mark={good if mark is None else mark}"
    assert visitor.ask("POST", form.action, body, headers).status == 403
    assert visitor.get(f"/jobs/{job}").text.count("planned") > 0
    assert (
        visitor.ask(
            "POST", form.action, f"mark={good}", {"Origin": f"http://{visitor.host}"}
        ).status
        == 303
    )


def test_a_form_of_another_session_is_refused(here: Served, job: str, visitor: Visitor):
    form = visitor.get(f"/jobs/{job}/cancel").form(f"/jobs/{job}/cancel")
    other = Visitor(here.url)
    other.enter(here.lines[-1].split()[-1])
    assert other.send(form).status == 403


def test_reading_changes_nothing(job: str, visitor: Visitor):
    for verb in ("cancel", "pause", "resume", "look"):
        visitor.get(f"/jobs/{job}/{verb}")
    assert visitor.get("/?status=planned").text.count(job) > 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_only_asking_and_sending_forms_is_understood(visitor: Visitor, method: str):
    answer = visitor.ask(method, "/", headers={"Origin": "http://evil.example"})
    assert answer.status in {405, 501}
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("page", [*PAGES, "/nothing", "/start?token=x"])
def test_every_page_forbids_whatever_is_not_its_own(visitor: Visitor, page: str):
    answer = visitor.get(page)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    assert "<script>" not in answer.text
    assert " style=" not in answer.text


def test_a_body_is_bounded(visitor: Visitor):
    assert visitor.ask("POST", "/submit/plan", "x=" + "y" * 70_000).status == 413
    assert visitor.ask("POST", "/submit/plan", "&".join(["a=b"] * 5000)).status == 403
    with closing(http.client.HTTPConnection(visitor.host, timeout=20)) as connection:
        connection.putrequest("POST", "/submit/plan")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        assert connection.getresponse().status == 411


def test_a_broken_request_is_refused_without_an_echo(visitor: Visitor):
    host, port = visitor.host.split(":")
    for sent in (b"GET <script> HTTP/1.1\r\n\r\n", b"<script>\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        with socket.create_connection((host, int(port)), 20) as client:
            client.sendall(sent)
            answer = client.recv(65536)
        assert b"<script>" not in answer


def test_what_a_page_needs_is_served_to_everybody_and_holds_nothing(here: Served, visitor: Visitor):
    text = visitor.get("/").text
    style = text.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = Visitor(here.url).get(style)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "http" not in answer.text
    assert "url(" not in answer.text
