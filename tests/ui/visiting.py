"""A page that is served, and a client that is let in, over real HTTP."""

from __future__ import annotations

import http.client
import queue
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

from orchestrator.ui.access import Gatekeeper
from orchestrator.ui.site import Site
from orchestrator.wiring import servers
from tests.conftest import Ftctl


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def forms(self) -> list[Form]:
        return _Forms.of(self.text)

    def form(self, action: str) -> Form:
        return next(each for each in self.forms if each.action == action)


@dataclass
class Form:
    """A form as a browser would send it."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._choice = ""

    @classmethod
    def of(cls, text: str) -> list[Form]:
        parser = cls()
        parser.feed(text)
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", ""), given.get("method", "get")))
        if not self.found:
            return
        chosen = given.get("type") != "checkbox" or "checked" in given
        if tag == "input" and "name" in given and chosen:
            self.found[-1].fields[given["name"]] = given.get("value", "")
        if tag == "select":
            self._choice = given.get("name", "")
        first = self._choice not in self.found[-1].fields
        if tag == "option" and self._choice and ("selected" in given or first):
            self.found[-1].fields[self._choice] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._choice = ""


class Visitor:
    """A browser without a window: it keeps its cookie and sends forms."""

    def __init__(self, url: str) -> None:
        self.host = url.removeprefix("http://")
        self.cookie = ""

    def ask(
        self,
        method: str,
        target: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {"Cookie": self.cookie} if self.cookie else {}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(self.host, timeout=30)
        with closing(connection):
            connection.request(method, target, body, {**sent, **(headers or {})})
            response = connection.getresponse()
            given = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, given, response.read().decode())

    def enter(self, link: str) -> Answer:
        answer = self.ask("GET", "/" + link.split("/", 3)[3])
        self.cookie = answer.headers.get("set-cookie", self.cookie).partition(";")[0]
        return answer

    def get(self, target: str) -> Answer:
        return self.ask("GET", target)

    def post(self, target: str, fields: Mapping[str, str]) -> Answer:
        return self.ask("POST", target, urlencode(fields))

    def send(self, form: Form, **changes: str) -> Answer:
        return self.post(form.action, {**form.fields, **changes})


@dataclass
class Served:
    """A site that runs."""

    url: str
    link: str
    site: Site
    visitor: Visitor
    lines: list[str]


@contextmanager
def served(ftctl: Ftctl, *, names: frozenset[str] = frozenset()) -> Iterator[Served]:
    app, lines, stop = ftctl.app(), list[str](), threading.Event()
    site = Site(app, Gatekeeper(app.clock.now, names=names), ftctl.home, lines.append)
    links: queue.Queue[str] = queue.Queue()
    thread = threading.Thread(
        target=servers.serve_pages,
        args=(("127.0.0.1", 0), site),
        kwargs={"on_ready": lambda url: links.put(site.listens(url)), "stop": stop},
    )
    thread.start()
    try:
        link = links.get(timeout=20)
        yield Served(site.url, link, site, Visitor(site.url), lines)
    finally:
        stop.set()
        thread.join(20)
        site.close()
        app.close()


@contextmanager
def visiting(ftctl: Ftctl) -> Iterator[Visitor]:
    """Somebody who was let in."""
    with served(ftctl) as here:
        assert here.visitor.enter(here.link).status == 200
        yield here.visitor


def visible(text: str) -> str:
    """What a person would read, roughly."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))
