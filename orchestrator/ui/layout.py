"""What every page has: its frame, its headers, tables, forms and pagers."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.web import WebResponse
from orchestrator.ui.markup import Html, h, join
from orchestrator.ui.style import SCRIPT, STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.ui.markup import Child

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TITLES = {
    "/": "Jobs",
    "/submit": "Submit",
    "/data": "Datasets",
    "/comparisons": "Comparisons",
    "/reports": "Reports",
    "/models": "Models",
    "/adapters": "Adapters",
    "/costs": "Costs",
}
_LOOKS = {
    JobStatus.SUCCEEDED: "good",
    JobStatus.FAILED: "bad",
    JobStatus.REJECTED: "bad",
    JobStatus.NEEDS_REVIEW: "bad",
    JobStatus.UNKNOWN: "open",
    JobStatus.PAUSED: "open",
    JobStatus.CANCELLED: "",
}


def _version(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:6]).decode()


# The name changes with the content, so a browser may keep what it has.
STYLE_AT, SCRIPT_AT = f"/style-{_version(STYLE)}.css", f"/live-{_version(SCRIPT)}.js"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of a long list: from `first` (0 is the first of all), `many` of `total`."""

    first: int
    many: int
    total: int


def page(
    title: str,
    *body: Child,
    here: str = "",
    status: int = 200,
    head: Child = None,
    shut: bool = False,
) -> WebResponse:
    """A whole page.

    Args:
        title: of the page, and its first heading.
        body: what stands under it.
        here: the entry of the navigation it belongs to.
        status: of the answer.
        head: more for the head.
        shut: for those who are not let in: no navigation.
    """
    text = join(
        (
            Html('<!doctype html><html lang="en">'),
            h(
                "head",
                h("meta", charset="utf-8"),
                h("meta", name="viewport", content="width=device-width, initial-scale=1"),
                h("meta", name="color-scheme", content="light dark"),
                h("title", f"{title} · ftctl"),
                h("link", rel="stylesheet", href=STYLE_AT),
                head,
            ),
            h(
                "body",
                h("a", "Skip to the page", href="#page", class_="skip"),
                None if shut else _top(here),
                h("main", h("h1", title), *body, id="page", tabindex=-1),
            ),
            Html("</html>\n"),
        )
    )
    return html(text, status=status)


def html(text: Html, *, status: int = 200, policy: str = POLICY) -> WebResponse:
    """Markup as an answer, with everything that keeps it from acting."""
    return WebResponse(
        status=status, body=text.encode("utf-8", "replace"), headers=safe_headers(policy)
    )


def safe_headers(policy: str = POLICY) -> list[tuple[str, str]]:
    """What keeps a page where it is: no sniffing, no frame, no referrer, no copy on disk."""
    return [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        # With `no-referrer`, browsers send forms without their origin, and that is asked for.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ]


def redirect(place: str) -> WebResponse:
    """Go on there; a reload then sends no form again."""
    return WebResponse(status=303, headers=[("location", place), *safe_headers()])


def url(path: str, /, **fields: object) -> str:
    """An address of ours; empty fields are left out."""
    given = {
        name.rstrip("_"): str(value) for name, value in fields.items() if value not in {None, ""}
    }
    query = urlencode(given, errors="replace")
    return quote(path, safe="/", errors="replace") + (f"?{query}" if query else "")


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    numbers: Iterable[int] = (),
    tight: Iterable[int] = (),
) -> Html:
    """A table with a caption; columns named in `numbers` stand right, `tight` ones do not break."""
    right, firm = set(numbers), set(tight)

    def look(place: int) -> str | None:
        names = ("num",) * (place in right) + ("tight",) * (place in firm)
        return " ".join(names) or None

    return h(
        "div",
        h(
            "table",
            h("caption", caption),
            h(
                "thead",
                h(
                    "tr",
                    [h("th", t, scope="col", class_=look(i)) for i, t in enumerate(head)],
                ),
            ),
            h(
                "tbody",
                [
                    h("tr", [h("td", cell, class_=look(i)) for i, cell in enumerate(row)])
                    for row in rows
                ],
            ),
        ),
        class_="wide",
        # What scrolls must be reachable without a mouse.
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Names and values; a value that is empty is left out."""
    return h(
        "dl",
        [(h("dt", name), h("dd", value)) for name, value in pairs if value not in {None, ""}],
        class_="facts",
    )


def pager(part: Slice, path: str, **fields: object) -> Html:
    """Where one is in a long list, and the ways on."""
    last = min(part.total, part.first + part.many)
    before = max(0, part.first - part.many)
    return h(
        "nav",
        h("a", "← Previous", href=url(path, **fields, from_=before or ""), rel="prev")
        if part.first
        else None,
        h("span", f"{part.first + 1:,}–{last:,} of {part.total:,}", class_="dim")
        if part.total
        else h("span", "nothing here", class_="dim"),
        h("a", "Next →", href=url(path, **fields, from_=last), rel="next")
        if last < part.total
        else None,
        class_="pager",
        aria_label="Pages",
    )


def field(
    label: str,
    name: str,
    control: Html | None = None,
    *,
    help_: str = "",
    **input_: str | int | bool | None,
) -> Html:
    """A labelled input; the help belongs to it."""
    at = f"f-{name}"
    about = f"{at}-help" if help_ else None
    inner = control or h("input", id=at, name=name, aria_describedby=about, **input_)
    return h(
        "div",
        h("label", label, for_=at),
        inner,
        h("span", help_, class_="help", id=about) if help_ else None,
    )


def select(label: str, name: str, options: Mapping[str, str], chosen: str) -> Html:
    """A labelled choice; options are values and what stands for them."""
    shown = [
        h("option", text, value=value, selected=value == chosen) for value, text in options.items()
    ]
    return field(label, name, h("select", shown, id=f"f-{name}", name=name))


def button(label: str, action: str, mark: str, *, look: str = "", **hidden: str) -> Html:
    """A form of one button that changes something."""
    return h(
        "form",
        hidden_fields({"mark": mark, **hidden}),
        h("button", label, type="submit", class_=look or None),
        method="post",
        action=action,
    )


def hidden_fields(values: Mapping[str, str]) -> list[Html]:
    """Values that a form carries."""
    return [h("input", type="hidden", name=name, value=value) for name, value in values.items()]


def note(*text: Child, look: str = "") -> Html:
    """Something that must be seen."""
    return h("div", *text, class_=f"note {look}".strip(), role="alert" if look == "bad" else "note")


def status_of(status: JobStatus) -> Html:
    """A job's status as a badge."""
    look = _LOOKS.get(status, "work")
    return h("span", str(status).replace("_", " "), class_=f"status {look}".strip())


def moment(at: datetime | None, *, seconds: bool = False) -> Child:
    """A time, in UTC, whole for machines."""
    if at is None:
        return None
    shown = f"{at:%Y-%m-%d %H:%M:%S}" if seconds else f"{at:%Y-%m-%d %H:%M}"
    return h("time", shown, datetime=at.isoformat())


def chart(drawn: str) -> Html:
    """A chart of the reports, which escapes for itself; it scrolls where it has no room."""
    return h("div", Html(drawn), class_="wide", tabindex=0, role="region", aria_label="Chart")


def link(text: Child, path: str, /, **fields: object) -> Html:
    """A link to a page of ours."""
    return h("a", text, href=url(path, **fields))


def job_link(job_id: str | None) -> Child:
    """A link to a job; nothing where there is none."""
    return link(job_id, f"/jobs/{job_id}") if job_id else None


def _top(here: str) -> Html:
    items = [
        h("li", h("a", title, href=path, aria_current="page" if path == here else None))
        for path, title in _TITLES.items()
    ]
    return h(
        "header",
        h(
            "div",
            h("a", "ftctl", href="/", class_="brand"),
            h("nav", h("ul", items), aria_label="Pages of ftctl"),
        ),
        class_="top",
    )
