"""Notifications: every change is told to everyone who asked, once, and nobody waits for them."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openai import OpenAI

from orchestrator.domain.clock import SystemClock
from orchestrator.domain.jobs.notification import Notification, Outcome, Subscriber
from orchestrator.usecases.notifying import Told, notify
from providers.simulator import Simulator
from tests.conftest import Ftctl
from tests.conftest import Outcome as Did
from tests.usecases.test_submit_and_sync import World

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
ROOT = Path(__file__).resolve().parents[2]


class Listener:
    """Somebody who is told, and answers as ordered."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status, self.headers = 200, dict[str, str]()
        self.released = threading.Event()
        self.released.set()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                listener.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                listener.released.wait(30)
                self.send_response(listener.status)
                for name, value in listener.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/ops?channel=1"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def host(ftctl: Ftctl) -> Iterator[Simulator]:
    with Simulator("openai", moves=False, clock=ftctl.clock) as simulator:
        yield simulator


@pytest.fixture
def world(either: Ftctl, host: Simulator) -> World:
    return World(either, host, "openai")


def entry(world: World, *lines: str) -> None:
    with (world.ftctl.home / "ftctl.toml").open("a") as file:
        file.write("\n[[notify]]\n" + "\n".join(lines) + "\n")


def listens(world: World, listener: Listener, *lines: str) -> None:
    world.ftctl.environment["TELL"] = SECRET
    entry(world, f'url = "{listener.url}"', 'secret_env = "TELL"', 'name = "ops"', *lines)


def ended(world: World) -> Did:
    """A job that is at its end at the host, and a pass that finds it so."""
    world.submit()
    world.host.advance(9)
    return world.ftctl("sync", "--all")


def later(world: World, minutes: float) -> Did:
    world.clock.at += timedelta(minutes=minutes)
    return world.ftctl("sync")


def listed(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.ftctl("notifications", "list", "--json").json
    return found


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text()))


def test_who_listens_is_told_once_and_can_prove_by_whom(world: World, listener: Listener):
    listens(world, listener)
    assert ended(world).code == 0
    later(world, 10)
    ((headers, body),) = listener.got
    said = json.loads(body)
    assert said["type"] == "job.succeeded"
    assert said["data"]["id"] == world.job().id
    assert said["data"]["tuned_model"] == world.job().tuned_model
    schema("notification").validate(said)
    (kept,) = listed(world)
    schema("notifications").validate([kept])
    assert (kept["state"], kept["id"]) == ("delivered", headers["webhook-id"])
    vendor = OpenAI(api_key="sk-none").webhooks
    # The vendor's verifier, told to overlook that this clock is moved by hand.
    vendor.verify_signature(body, headers, secret=SECRET, tolerance=10**9)
    # Nothing of the data, no key; and the secret is nowhere but in the environment.
    assert b"question number" not in body
    assert b"sk-test" not in body
    kept_files = [path for path in world.ftctl.home.rglob("*") if path.is_file()]
    assert not [path for path in kept_files if SECRET.encode() in path.read_bytes()]
    assert "notify ops" in world.ftctl("doctor").out


def test_a_command_is_told_on_its_standard_input_and_sees_no_key(world: World, tmp_path: Path):
    script = tmp_path / "told.py"
    script.write_text(
        "import json, os, sys\n"
        f"out = open({str(tmp_path / 'got')!r}, 'w')\n"
        "json.dump([json.load(sys.stdin), dict(os.environ), sys.argv[1:]], out)\n"
    )
    world.ftctl.environment |= {"PATH": "/usr/bin:/bin", "CHANNEL": "#ml", "OPENAI_API_KEY": "sk-x"}
    entry(
        world, f'command = ["{sys.executable}", "{script}", "; touch /owned"]', 'env = ["CHANNEL"]'
    )
    ended(world)
    said, environment, arguments = json.loads((tmp_path / "got").read_text())
    assert said["type"] == "job.succeeded"
    assert arguments == ["; touch /owned"]
    assert environment["CHANNEL"] == "#ml"
    assert environment["FTCTL_NOTIFICATION_ID"] == listed(world)[0]["id"]
    assert not {"KEY", "OPENAI_API_KEY", "FTCTL_HOME"} & set(environment)


def test_the_past_is_not_told(world: World, listener: Listener):
    ended(world)
    listens(world, listener)
    later(world, 1)
    assert listener.got == []
    assert listed(world) == []
    ended_again = world.submit(again=True)
    world.host.advance(9)
    world.ftctl("sync", "--all")
    assert [json.loads(body)["data"]["id"] for _, body in listener.got] == [ended_again.id]


def test_each_hears_of_what_it_asked_for(world: World, listener: Listener):
    listens(world, listener, 'on = ["running", "failed"]')
    entry(world, f'url = "{listener.url}"', 'name = "other"')
    world.submit()
    world.host.advance(3)
    world.ftctl("sync", "--all")
    world.host.order_fault("train", "fail")
    world.submit(again=True)
    for _ in range(3):
        world.host.advance(3)
        world.ftctl("sync", "--all")
    told = sorted((each["subscriber"], each["topic"]) for each in listed(world))
    assert told == [
        ("ops", "failed"), ("ops", "running"), ("other", "failed"), ("other", "succeeded"),
    ]  # fmt: skip
    assert len({headers["webhook-id"] for headers, _ in listener.got}) == 4


def test_a_failure_is_tried_again_later_and_later_and_given_up_aloud(
    world: World, listener: Listener
):
    listens(world, listener, "attempts = 3")
    listener.status = 500
    first = ended(world)
    assert first.code == 0
    assert "ops was not told" in first.err
    assert "tried again" in first.err
    assert later(world, 0.5).err == ""
    assert len(listener.got) == 1
    assert later(world, 0.6).err == ""
    assert len(listener.got) == 2
    later(world, 4)
    assert len(listener.got) == 2
    assert "given up" in later(world, 2).err
    later(world, 10_000)
    assert len(listener.got) == 3
    assert len({headers["webhook-id"] for headers, _ in listener.got}) == 1
    listener.status = 200
    assert world.ftctl("notifications", "retry").code == 0
    assert [each["state"] for each in listed(world)] == ["delivered"]


def test_the_receivers_wish_to_be_left_alone_is_kept(world: World, listener: Listener):
    listens(world, listener)
    listener.status, listener.headers = 429, {"retry-after": "1800"}
    ended(world)
    world.submit(again=True)
    world.host.advance(9)
    world.ftctl("sync", "--all")
    later(world, 29)
    assert len(listener.got) == 1
    listener.status = 200
    later(world, 2)
    assert {each["state"] for each in listed(world)} == {"delivered"}


def test_who_is_gone_is_not_asked_again_and_a_redirect_is_not_followed(
    world: World, listener: Listener
):
    listens(world, listener)
    elsewhere = Listener()
    listener.status, listener.headers = 302, {"location": elsewhere.url}
    ended(world)
    assert elsewhere.got == []
    elsewhere.close()
    assert "redirects are not followed" in listed(world)[0]["last"]
    listener.status = 410
    later(world, 2)
    assert listed(world)[0]["state"] == "given_up"


def test_receivers_that_hang_hold_up_no_pass_longer_than_its_bound(
    world: World, listener: Listener
):
    for number in range(3):
        entry(world, f'url = "{listener.url}"', f'name = "slow{number}"', "timeout = 1")
    entry(world, 'command = ["sleep", "60"]', 'name = "sleeper"', "timeout = 1")
    listener.released.clear()
    began = time.monotonic()
    outcome = ended(world)
    took = time.monotonic() - began
    assert outcome.code == 0
    assert took < 8
    assert {each["state"] for each in listed(world)} == {"waiting"}
    assert {each["last"] for each in listed(world)} == {"no answer in 1 s", "did not end in 1 s"}


class NeverBack:
    """A courier that does not even keep to its timeout."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, to: Subscriber, what: Notification, at: datetime, timeout: float) -> Outcome:
        self.released.wait(60)
        return Outcome(ok=True, told="too late")


def test_a_courier_that_never_comes_back_is_left(world: World, listener: Listener):
    listens(world, listener)
    listener.status = 500
    ended(world)
    world.clock.at += timedelta(minutes=2)
    app, courier = world.ftctl.app(), NeverBack()
    began = time.monotonic()
    told = notify(app.outbox, app.settings.subscribers(), courier, world.clock, patience=0.6)
    assert time.monotonic() - began < 5
    courier.released.set()
    app.close()
    assert [each.last for each in told.failures] == ["no answer in time"]


def test_a_dead_receiver_costs_one_try_a_pass_and_delays_no_other(world: World, listener: Listener):
    listens(world, listener)
    entry(world, 'command = ["false"]')
    jobs = [world.submit(again=True) for _ in range(3)]
    world.host.advance(9)
    world.ftctl("sync", "--all")
    assert len(listener.got) == len(jobs)
    tries = [each["attempts"] for each in listed(world) if each["subscriber"] == "false"]
    assert sorted(tries) == [0, 0, 1]


def test_a_ledger_that_was_put_back_tells_the_same_thing_under_the_same_id(
    ftctl: Ftctl, host: Simulator, listener: Listener
):
    world = World(ftctl, host, "openai")
    listens(world, listener)
    world.submit()
    assert ftctl("db", "backup", "before.db").code == 0
    host.advance(9)
    ftctl("sync", "--all")
    assert ftctl("db", "restore", "before.db").code == 0
    ftctl("sync", "--all")
    assert len(listener.got) == 2
    assert len({headers["webhook-id"] for headers, _ in listener.got}) == 1


def test_needs_review_is_told(world: World, listener: Listener):
    listens(world, listener)
    world.submit()
    with world.host._memory.change() as state:
        state["jobs"].clear()
    world.ftctl("sync", "--all")
    world.clock.at += timedelta(minutes=2)
    world.ftctl("sync", "--all")
    assert [json.loads(body)["type"] for _, body in listener.got] == ["job.needs_review"]


def test_two_that_tell_at_once_tell_once(world: World, listener: Listener):
    listens(world, listener)
    app = world.ftctl.app()
    with app.claim("notifications") as ours:
        assert ours
        ended(world)
    app.close()
    assert listener.got == []
    later(world, 1)
    assert len(listener.got) == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["on = []"], "either a command or a url"),
        (['url = "https://x.example"', 'command = ["x"]'], "either a command or a url"),
        (['url = "ftp://x.example"'], "must start with https://"),
        (['url = "http://x.example"'], "unencrypted to x.example"),
        (['url = "https://u:p@x.example"'], "user name or password"),
        (['url = "https://[::1"'], "is not a URL"),
        (['url = "https://x.example/a b"'], "is not a URL"),
        (['command = "rm -rf /"'], "must be a list of texts"),
        (['command = ["x"]', 'on = ["suceeded"]'], "waits for 'suceeded', which never happens"),
        (['command = ["x"]', "on = []"], "waits for nothing"),
        (['command = ["x"]', "timeout = 0"], "from 1 to 60"),
        (['command = ["x"]', "attempts = true"], "from 1 to 100"),
        (['command = ["x"]', 'secret = "whsec_x"'], "'secret', which means nothing"),
        (['command = ["x"]', 'name = "a b"'], "needs a name"),
        (['command = ["x"]', "\n[[notify]]", 'command = ["x"]'], "Two [[notify]]"),
    ],
)
def test_an_entry_that_makes_no_sense_is_said_and_holds_up_no_job(
    ftctl: Ftctl, host: Simulator, lines: list[str], words: str
):
    world = World(ftctl, host, "openai")
    entry(world, *lines)
    outcome = ended(world)
    assert outcome.code == 0
    assert "succeeded" in outcome.out
    assert words in outcome.err
    outcome = ftctl("notifications", "list")
    assert outcome.code == 3
    assert words in outcome.err


def test_an_address_that_is_not_public_needs_leave(ftctl: Ftctl, listener: Listener):
    from orchestrator.hooks.posting import post

    port = listener.url.split(":")[2]
    # A name that leads to this machine, and does not say so: as a name that was bent would.
    for host in ("127.0.0.1.", "0", "2130706433"):
        outcome = post(f"http://{host}:{port}", b"{}", {}, 5.0)
        assert not outcome.ok
        assert "not public" in outcome.told or "no address" in outcome.told, host
    assert listener.got == []
    assert post(f"http://127.1:{port}", b"{}", {}, 5.0, allow_private=True).ok
    # It may have a second address, at which nobody listens.
    assert post(f"http://localhost:{port}", b"{}", {}, 5.0).ok


def test_a_byte_now_and_then_is_no_answer():
    import socket

    from orchestrator.hooks.posting import post

    ready, over = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            ready.set()
            client, _ = server.accept()
            with client:
                try:
                    client.sendall(b"HTTP/1.1 200 OK\r\n")
                    while not over.wait(0.1):
                        client.sendall(b"x")
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        ready.wait(10)
        began = time.monotonic()
        outcome = post(f"http://127.0.0.1:{server.getsockname()[1]}", b"{}", {}, 0.6)
        over.set()
        thread.join()
    assert outcome.told == "no answer in 0.6 s"
    assert time.monotonic() - began < 5


def test_nothing_to_tell_costs_nothing(ftctl: Ftctl):
    app = ftctl.app()
    assert app.tell_others(print) == Told()
    assert "engine" not in app.__dict__
    app.close()


def test_a_test_reaches_one_entry_and_says_who_did_not_take_it(
    ftctl: Ftctl, host: Simulator, listener: Listener
):
    world = World(ftctl, host, "openai")
    assert ftctl("notifications", "test").code == 2
    listens(world, listener)
    entry(world, 'command = ["no-such-program"]')
    outcome = ftctl("notifications", "test", "ops", "--json")
    assert (outcome.code, outcome.json[0]["ok"]) == (0, True)
    assert "channel" not in outcome.out
    assert json.loads(listener.got[0][1])["type"] == "test"
    outcome = ftctl("notifications", "test")
    assert outcome.code == 4
    assert "No such file" in outcome.out
    assert ftctl("notifications", "test", "opps").code == 2
    del ftctl.environment["TELL"]
    assert "TELL is not set" in ftctl("notifications", "test", "ops").out


def test_the_receiver_in_the_docs_believes_us_and_nobody_else(
    ftctl: Ftctl, host: Simulator, monkeypatch: pytest.MonkeyPatch
):
    page = (ROOT / "docs" / "webhooks-and-notifications.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    assert code.endswith("server.serve_forever()\n")
    monkeypatch.setenv("FTCTL_NOTIFY_SECRET", SECRET)
    names: dict[str, Any] = {"print": lambda *_, **__: None}
    exec(code.removesuffix("server.serve_forever()\n").replace("8700", "0"), names)
    names["Told"].log_message = lambda *_: None
    with names["server"] as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            world = World(ftctl, host, "openai")
            ftctl.clock = SystemClock()
            ftctl.environment |= {"GOOD": SECRET, "BAD": SECRET[:-4] + "AAAA"}
            for name in ("GOOD", "BAD"):
                entry(
                    world, f'name = "{name}"', f'secret_env = "{name}"',
                    f'url = "http://127.0.0.1:{server.server_port}/"',
                )  # fmt: skip
            told = ftctl("notifications", "test", "--json").json
        finally:
            server.shutdown()
            thread.join()
    assert [each["told"] for each in told] == ["answered 200", "answered 401"]
    assert len(names["seen"]) == 1
