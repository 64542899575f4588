"""The whole site: who is let in, which page answers, and what is said when none can."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.errors import ExitCode, FtctlError
from orchestrator.domain.explaining import explained
from orchestrator.domain.web import WebResponse
from orchestrator.ui import (
    adapters,
    comparisons,
    costs,
    data,
    jobs,
    leaving,
    models,
    reports,
    submit,
)
from orchestrator.ui.access import is_own_form
from orchestrator.ui.desk import Desk, Errands, Visit
from orchestrator.ui.files import Files
from orchestrator.ui.layout import (
    SCRIPT_AT,
    STYLE_AT,
    note,
    page,
    safe_headers,
)
from orchestrator.ui.markup import h
from orchestrator.ui.once import Once
from orchestrator.ui.style import SCRIPT, STYLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.domain.web import WebRequest
    from orchestrator.ui.access import Gatekeeper, Session
    from orchestrator.ui.desk import Handler
    from orchestrator.wiring import App


class _Route(NamedTuple):
    method: str
    path: re.Pattern[str]
    handler: Handler


def _route(method: str, path: str, handler: Handler) -> _Route:
    return _Route(
        method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[\\w.:-]{1,128})", path)), handler
    )


_ROUTES = (
    _route("GET", "/", jobs.list_jobs),
    _route("GET", "/jobs/{job}", jobs.show_job),
    _route("GET", "/jobs/{job}/live", jobs.live),
    _route("GET", "/jobs/{job}/cancel", jobs.ask_cancel),
    _route("GET", "/jobs/{job}/report", reports.report_now),
    _route("POST", "/jobs/{job}/(?P<verb>look|cancel|pause|resume)", jobs.act),
    _route("GET", "/submit", submit.show_form),
    _route("POST", "/submit/plan", submit.show_plan),
    _route("POST", "/submit/confirm", submit.confirm),
    _route("GET", "/data", data.list_datasets),
    _route("GET", "/data/{digest}", data.show_stored),
    _route("GET", "/comparisons", comparisons.list_comparisons),
    _route("GET", "/comparisons/{comparison}", comparisons.show_comparison),
    _route("GET", "/reports", reports.list_reports),
    _route("GET", "/reports/{report}", reports.show_report),
    _route("GET", "/models", models.list_models),
    _route("GET", "/leaving", leaving.show_plans),
    _route("GET", "/adapters", adapters.list_tasks),
    _route("GET", "/adapters/{task}", adapters.show_task),
    _route("GET", "/adapters/{task}/(?P<verb>promote|rollback)", adapters.ask),
    _route("POST", "/adapters/{task}/(?P<verb>promote|rollback)", adapters.act),
    _route("GET", "/costs", costs.show_costs),
)
_STATUSES = {
    ExitCode.USAGE: 400,
    ExitCode.NO: 409,
    ExitCode.CONFIGURATION: 409,
    ExitCode.TRY_LATER: 503,
    ExitCode.LOCAL_STATE: 500,
}
_KEPT = [("cache-control", "private, max-age=86400"), ("x-content-type-options", "nosniff")]


class Site:
    """Answers every request; one for the life of the process, used by several threads."""

    def __init__(
        self, app: App, gate: Gatekeeper, folder: Path, say: Callable[[str], None]
    ) -> None:
        """Take the application, who lets in, the folder of datasets, and a place to talk to."""
        self.gate, self._say = gate, say
        self.url, self._port = "", 0
        self.desk = Desk(app=app, files=Files(folder), once=Once(), errands=Errands(app, say))
        # Made now, by one thread; pages are made by many.
        app.ledger()
        _ = app.comparisons, app.deployments

    def listens(self, url: str) -> str:
        """The server has its port; returns the first start link."""
        self.url, self._port = url, int(url.rpartition(":")[2])
        return self.start_link()

    def start_link(self) -> str:
        """An address that lets one browser in, once."""
        return f"{self.url}/start?token={self.gate.new_link()}"

    def close(self) -> None:
        """Let what is under way come to its end."""
        self.desk.errands.close()

    def __call__(self, request: WebRequest) -> WebResponse:
        """The answer; whatever goes wrong is a page that says so."""
        try:
            return self._answer(request)
        except Exception as error:  # noqa: BLE001 - no traceback reaches a browser
            if not isinstance(error, FtctlError):
                self._say(f"{request.method} {request.path}: {explained(error).message}")
            return _failed(error, request)

    def _answer(self, request: WebRequest) -> WebResponse:
        if not self.gate.knows_host(request, self._port):
            return _refused(403, "This address is not one of this page's.")
        if request.method not in {"GET", "HEAD", "POST"}:
            return _refused(405, "This cannot be done here.")
        static = _static(request)
        if static is not None:
            return static
        if request.path == "/start":
            return self._start(request)
        session = self.gate.session(request, self._cookie)
        if session is None:
            return _refused(403, "Open the link that the terminal shows; each opens once.")
        if request.method == "POST" and not is_own_form(request, session):
            return _refused(
                403, "This form is not from this page, or too old. Load the page again."
            )
        return self._page(request, session)

    def _page(self, request: WebRequest, session: Session) -> WebResponse:
        method = "GET" if request.method == "HEAD" else request.method
        for route in _ROUTES:
            found = route.path.fullmatch(request.path)
            if found and route.method == method:
                parts = found.groupdict()
                return route.handler(
                    Visit(desk=self.desk, request=request, mark=session.mark, parts=parts)
                )
        return page("There is no such page", h("p", h("a", "All jobs", href="/")), status=404)

    @property
    def _cookie(self) -> str:
        # Cookies do not know ports: two of these pages on one machine need two names.
        return f"ftctl_{self._port}"

    def _start(self, request: WebRequest) -> WebResponse:
        """Exchange a link for a session. A page leads on, for a redirect would lose the cookie."""
        session = self.gate.session(request, self._cookie)
        headers = safe_headers()
        if session is None:
            session = self.gate.exchange(request.query.get("token", ""))
            if session is None:
                return _refused(403, "This link was used before. The terminal shows a new one.")
            cookie = f"{self._cookie}={session.key}; HttpOnly; SameSite=Strict; Path=/"
            headers = [*headers, ("set-cookie", cookie)]
            self._say(f"a browser was let in; another one may open {self.start_link()}")
        shown = page(
            "You are in",
            h("p", h("a", "Go on", href="/")),
            head=h("meta", http_equiv="refresh", content="0; url=/"),
            shut=True,
        )
        return WebResponse(body=shown.body, headers=headers)


def _static(request: WebRequest) -> WebResponse | None:
    if request.method == "POST":
        return None
    if request.path == STYLE_AT:
        return WebResponse(body=STYLE.encode(), kind="text/css; charset=utf-8", headers=_KEPT)
    if request.path == SCRIPT_AT:
        return WebResponse(
            body=SCRIPT.encode(), kind="text/javascript; charset=utf-8", headers=_KEPT
        )
    if request.path == "/favicon.ico":
        return WebResponse(status=204, headers=_KEPT)
    return None


def _refused(status: int, why: str) -> WebResponse:
    return page("Not here", h("p", why), status=status, shut=True)


def _failed(error: Exception, request: WebRequest) -> WebResponse:
    said = explained(error)
    hint = h("p", "Try: ", h("code", said.hint)) if said.hint else None
    status = _STATUSES.get(said.code, 500)
    # A path that names what is not there; a bad field of an address is a bad request.
    if status == 400 and not request.query and request.method != "POST":
        status = 404
    return page(
        "That did not work",
        note(h("p", h("strong", said.message)), hint, look="bad"),
        h("p", h("a", "All jobs", href="/")),
        status=status,
    )
