"""Datasets: which there are, what is found in them, and each row as the model sees it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from orchestrator.domain.errors import FtctlError, UsageError
from orchestrator.domain.jobs.job import Method
from orchestrator.ui.layout import (
    hidden_fields,
    link,
    moment,
    note,
    page,
    pager,
    select,
    table,
)
from orchestrator.ui.markup import clipped, h

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.datasets.checking.validation import Validation
    from orchestrator.datasets.findings.finding import Finding
    from orchestrator.datasets.tokens.showing import FoundRow, Piece
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit
    from orchestrator.ui.markup import Child, Html

_MANY, _ROWS = 50, 10
_LONGEST, _LONGEST_ALONE = 1_200, 40_000
_KEPT_FILES = 8
_CODES = 40


def list_datasets(visit: Visit) -> WebResponse:
    """The datasets that were prepared for a job, or one of the folder's files."""
    if visit.asked("file"):
        return _show(
            visit, visit.desk.files.find(visit.asked("file")), {"file": visit.asked("file")}
        )
    known = visit.app.datasets.all()
    part = visit.slice(_MANY, len(known))
    rows = [
        (
            link(each.digest[:12], f"/data/{each.digest}"),
            f"{each.rows:,}",
            f"{each.bytes:,}",
            "" if each.tokens is None else f"{each.tokens:,}",
            moment(each.created_at),
            clipped(each.source, 200),
        )
        for each in known[part.first : part.first + _MANY]
    ]
    head = ("Digest", "Rows", "Bytes", "Tokens", "Made (UTC)", "Source")
    stored: Child = h("p", "No job was submitted yet.", class_="dim")
    if rows:
        stored = (
            table(
                "Stored when a job was submitted, newest first",
                head,
                rows,
                numbers=(1, 2, 3),
                tight=(0, 4),
            ),
            pager(part, "/data"),
        )
    return page("Datasets", _folder(visit), h("section", h("h2", "Of jobs"), stored), here="/data")


def show_stored(visit: Visit) -> WebResponse:
    """A dataset out of the store."""
    digest = visit.parts["digest"]
    found = visit.app.datasets.get(digest)
    return _show(visit, visit.app.datasets.path(found.digest), {"digest": digest})


def _folder(visit: Visit) -> Html:
    files = visit.desk.files
    rows = [
        (
            link(each.name, "/data", file=each.name),
            f"{each.bytes:,}",
            link("submit", "/submit", training=each.name),
        )
        for each in files.all()
    ]
    caption = f"Datasets in {files.folder}"
    shown = (
        table(caption, ("File", "Bytes", ""), rows, numbers=(1,))
        if rows
        else h(
            "p",
            f"There is no dataset in {files.folder}; another folder: ",
            h("code", "ftctl ui --files FOLDER"),
        )
    )
    return h("section", h("h2", "Files here"), shown)


def _show(visit: Visit, path: Path, which: dict[str, str]) -> WebResponse:
    target, method = visit.asked("target") or "openai", visit.asked("method") or "supervised"
    if method not in set(Method):
        raise UsageError(f"There is no method '{method[:40]}'.")
    name = which.get("file") or which["digest"][:12]
    verdict = _checked(path, target, Method(method))
    place = "/data" if "file" in which else f"/data/{which['digest']}"
    fields = {"file": which.get("file", ""), "target": target, "method": method}
    if visit.asked("row"):
        body = _one_row(visit, path, verdict, place, fields)
    else:
        body = (
            _verdict(verdict),
            _codes(verdict, place, fields),
            _rows(visit, path, verdict, place, fields),
        )
    chooser = None if visit.asked("row") else _chooser(place, fields)
    submit = link("Submit it", "/submit", training=which["file"]) if "file" in which else None
    return page(f"Dataset {name}", h("p", submit) if submit else None, chooser, body, here="/data")


def _chooser(place: str, fields: dict[str, str]) -> Html:
    from orchestrator.datasets.checking.limits import targets

    return h(
        "form",
        hidden_fields({"file": fields["file"]} if fields["file"] else {}),
        select("Check for", "target", {each: each for each in targets()}, fields["target"]),
        select("Method", "method", {str(each): str(each) for each in Method}, fields["method"]),
        h("div", h("button", "Check", type="submit")),
        method="get",
        action=place,
        class_="filter",
    )


def _verdict(verdict: Validation) -> Html:
    tokens = "" if verdict.tokens is None else f", {verdict.tokens:,} tokens a pass"
    said = (
        "Nothing stops a training." if verdict.ok else "It would be refused; nothing is uploaded."
    )
    return note(
        h("strong", said),
        f" {verdict.rows:,} rows{tokens}; {verdict.errors:,} errors, {verdict.warnings:,} warnings for {verdict.target}.",
        look="good" if verdict.ok else "bad",
    )


def _codes(verdict: Validation, place: str, fields: dict[str, str]) -> Html | None:
    first = {each.code: each for each in reversed(verdict.findings)}
    if not first:
        return None
    rank = ("error", "warning", "info")
    ordered = sorted(first.values(), key=lambda each: (rank.index(each.severity), each.line or 0))
    rows = [
        (
            _severity(each),
            each.code if each.line is None else link(each.code, place, **fields, code=each.code),
            f"{verdict.counts[each.code]:,}",
            clipped(each.message, 300),
            clipped(each.fix, 300),
        )
        for each in ordered[:_CODES]
    ]
    head = ("Weight", "Finding", "Times", "The first of them", "Mend")
    return h(
        "section",
        h("h2", "Findings"),
        table("What was found, by kind", head, rows, numbers=(2,), tight=(0,)),
    )


def _rows(
    visit: Visit, path: Path, verdict: Validation, place: str, fields: dict[str, str]
) -> Html:
    from orchestrator.datasets.tokens.showing import rows_between

    code, only = visit.asked("code"), visit.asked("only")
    about = [each for each in verdict.findings if each.line is not None and code in {"", each.code}]
    lines = sorted({each.line for each in about if each.line is not None})
    # What is wrong comes first; the rest is one click away.
    wrong = bool(lines) and only != "all"
    part = visit.slice(_ROWS, len(lines) if wrong else verdict.rows)
    if wrong:
        shown = lines[part.first : part.first + _ROWS]
        found = rows_between(path, many=_ROWS, lines=set(shown))
    else:
        found = rows_between(path, first=part.first + 1, many=_ROWS)
    other = {**fields, "code": code}
    switch = (
        link("show every row", place, **fields, only="all")
        if wrong
        else (link("only rows with findings", place, **fields) if lines else None)
    )
    ways = pager(part, place, **other, only=only)
    title = f"Rows with {code}" if wrong and code else "Rows with findings" if wrong else "Rows"
    return h(
        "section",
        h("h2", title),
        h("p", switch) if switch else None,
        ways,
        [_card(path, each, verdict, place, fields) for each in found],
        ways if len(found) > 3 else None,
    )


def _one_row(
    visit: Visit, path: Path, verdict: Validation, place: str, fields: dict[str, str]
) -> Child:
    from orchestrator.datasets.tokens.showing import rows_between

    text = visit.asked("row")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
    found = rows_between(path, first=number, many=1) if number else []
    if not found:
        raise UsageError(f"There is no row {text[:20]}.")
    before = link("← Previous row", place, **fields, row=number - 1) if number > 1 else None
    after = link("Next row →", place, **fields, row=number + 1)
    ways = h("nav", before, after, class_="pager", aria_label="Rows")
    back = link("all rows", place, **fields, only="all", from_=(number - 1) // _ROWS * _ROWS)
    return (ways, _card(path, found[0], verdict, place, fields, most=_LONGEST_ALONE), h("p", back))


def _card(
    path: Path,
    row: FoundRow,
    verdict: Validation,
    place: str,
    fields: dict[str, str],
    *,
    most: int = _LONGEST,
) -> Html:
    told = [each for each in verdict.findings if each.line == row.line]
    name = f"Row {row.row:,}, line {row.line:,}"
    return h(
        "article",
        h("h3", link(name, place, **fields, row=row.row)),
        [_finding(each) for each in told[:20]],
        h("p", f"and {len(told) - 20} more findings", class_="dim") if len(told) > 20 else None,
        _seen(path, row, verdict.target, most),
        class_="card",
    )


def _seen(path: Path, row: FoundRow, target: str, most: int) -> Child:
    """The row as the model reads it; as it stands in the file, where it cannot be read."""
    from orchestrator.datasets.checking.limits import limits_of
    from orchestrator.datasets.tokens.showing import cut_at, pieces_of, sizes_of

    try:
        pieces = pieces_of(row.decoded(path))
    except (FtctlError, TypeError, AttributeError, KeyError):
        raw = row.text.decode("utf-8", "replace")
        return (
            h("p", "as it stands in the file", class_="who"),
            h("pre", clipped(raw, most), class_="said"),
        )
    limit = limits_of(target).max_example_tokens
    cut = cut_at(pieces, limit)
    total, learned, _ = sizes_of(pieces)
    shown: list[Child] = []
    for index, piece in enumerate(pieces):
        if index == cut:
            shown.append(
                note(f"{target} stops reading in here, after {limit:,} tokens", look="bad")
            )
        if piece.text:
            shown.append(_piece(piece, max(200, most // max(1, len(pieces) - 1))))
    return (shown, h("p", f"{total:,} tokens, {learned:,} of them learned", class_="dim"))


def _piece(piece: Piece, most: int) -> Child:
    role = "learned" if piece.trained else "read"
    return (
        h("p", f"{piece.label}, {role}" if piece.label != role else role, class_="who"),
        h("pre", clipped(piece.text, most), class_="said learned" if piece.trained else "said"),
    )


def _finding(found: Finding) -> Html:
    where = f" ({found.pointer})" if found.pointer else ""
    return h(
        "p",
        _severity(found),
        f" {clipped(found.message, 400)}{clipped(where, 100)}",
        h("span", clipped(found.fix, 400), class_="help"),
        class_="finding",
    )


def _severity(found: Finding) -> Html:
    look = {"error": "bad", "warning": "open"}.get(found.severity.value, "")
    return h("span", found.severity.value, class_=f"status {look}".strip())


_verdicts: OrderedDict[tuple[object, ...], Validation] = OrderedDict()
_alone = threading.Lock()


def _checked(path: Path, target: str, method: Method) -> Validation:
    """The verdict on a file as it is now; asked again, it is not read again."""
    from orchestrator.datasets.checking.validation import validate

    now = path.stat()
    key = (path, now.st_mtime_ns, now.st_size, target, method)
    with _alone:
        if key not in _verdicts:
            _verdicts[key] = validate(path, target=target, method=method)
            while len(_verdicts) > _KEPT_FILES:
                _verdicts.popitem(last=False)
        _verdicts.move_to_end(key)
        return _verdicts[key]
