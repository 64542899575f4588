"""Adapters: tasks, their versions and aliases, and letting an alias mean another version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.adapters.names import CHAMPION, parse_address
from orchestrator.domain.errors import UsageError
from orchestrator.ui.layout import (
    field,
    hidden_fields,
    moment,
    note,
    page,
    redirect,
    select,
    table,
    url,
)
from orchestrator.ui.markup import clipped, h

if TYPE_CHECKING:
    from orchestrator.domain.adapters.adapter import History, Move
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit
    from orchestrator.ui.markup import Child, Html

_MOST_MOVES = 200
_LONGEST_REASON = 500


def list_tasks(visit: Visit) -> WebResponse:
    """Every task with its versions and aliases."""
    repo = visit.app.adapters.repo
    found = [repo.history(task) for task in repo.tasks()]
    if not found:
        typed = "ftctl adapters push JOB --task NAME"
        return page(
            "Adapters", h("p", f"None in {repo.where} yet: ", h("code", typed)), here="/adapters"
        )
    rows = [
        (_link(history.task), ", ".join(history.versions[-20:]), _aliases(history))
        for history in found
    ]
    shown = table(f"Tasks in {repo.where}", ("Task", "Versions", "Aliases"), rows)
    return page("Adapters", shown, here="/adapters")


def show_task(visit: Visit) -> WebResponse:
    """One task: what each alias means, every version, and the trail."""
    history = _history(visit)
    place = url(f"/adapters/{history.task}")
    by_version: dict[str, list[str]] = {}
    for alias, version in sorted(history.aliases.items()):
        by_version.setdefault(version, []).append(alias)
    rows = [
        (version, ", ".join(by_version.get(version, [])), _promote(place, version))
        for version in reversed(history.versions)
    ]
    back = history.before(CHAMPION)
    return page(
        f"Adapter {history.task}",
        h(
            "p",
            h("a", f"Roll {CHAMPION} back to {back}…", href=f"{place}/rollback", class_="button"),
        )
        if back
        else None,
        table("Versions, newest first", ("Version", "Aliases", ""), rows),
        _trail(history),
        here="/adapters",
    )


def ask(visit: Visit) -> WebResponse:
    """Ask before an alias moves: requests that come after it are answered by another model."""
    history, verb = _history(visit), visit.parts["verb"]
    place = url(f"/adapters/{history.task}")
    alias = visit.asked("alias") or CHAMPION
    if verb == "promote":
        version = visit.asked("version")
        title = f"Let an alias of {history.task} mean {version}?"
        names = {name: name for name in (CHAMPION, "candidate", *sorted(history.aliases))}
        choice = select("Alias", "alias", names, alias)
        told = "Every alias but candidate wants a comparison that says Improved or Parity."
    else:
        version = history.before(alias) or ""
        title = f"Roll {alias} of {history.task} back to {version or 'nothing'}?"
        choice, told = None, "It will mean what it meant before its last promotion."
    now = history.aliases.get(alias)
    return page(
        title,
        h("p", f"{alias} means {now} now. {told}" if now else told),
        h(
            "form",
            hidden_fields(
                {"mark": visit.mark, "version": version, **({} if choice else {"alias": alias})}
            ),
            choice,
            field("Reason", "reason", maxlength=_LONGEST_REASON, help_="kept in the trail"),
            h(
                "div",
                h(
                    "button",
                    "Promote" if verb == "promote" else "Roll back",
                    type="submit",
                    class_="main",
                ),
                h("a", "Leave it", href=place, class_="button"),
                class_="actions whole",
            ),
            method="post",
            action=f"{place}/{verb}",
            class_="fields",
        ),
        here="/adapters",
    )


def act(visit: Visit) -> WebResponse:
    """Move the alias, as `ftctl adapters promote` and `rollback` do; the gate cannot be forced here."""
    from orchestrator.usecases.adapters.aliases import gate_openers, promote, rollback

    app, task = visit.app, _task(visit)
    alias, reason = visit.given("alias") or CHAMPION, visit.given("reason")[:_LONGEST_REASON]
    if visit.parts["verb"] == "rollback":
        wanted, found = visit.given("version"), app.adapters.repo.history(task).before(alias)
        if wanted != (found or ""):
            raise UsageError(
                f"The adapters of {task} have changed since you saw them.", hint="look again"
            )
        rollback(app.adapters, task, alias=alias, reason=reason)
    else:
        version = visit.given("version")
        openers = gate_openers(app.adapters, app.comparisons, task, version)
        promote(app.adapters, task, version, alias=alias, comparisons=openers, reason=reason)
    return redirect(url(f"/adapters/{task}"))


def _task(visit: Visit) -> str:
    return parse_address(visit.parts["task"]).task


def _history(visit: Visit) -> History:
    repo = visit.app.adapters.repo
    history = repo.history(_task(visit))
    if not history.versions and not history.moves:
        raise UsageError(
            f"There is no task '{history.task}' in {repo.where}.", hint="ftctl adapters list"
        )
    return history


def _link(task: str) -> Html:
    return h("a", task, href=url(f"/adapters/{task}"))


def _promote(place: str, version: str) -> Html:
    return h("a", f"Promote {version}…", href=f"{place}/promote?version={version}")


def _trail(history: History) -> Child:
    if not history.moves:
        return note("No alias was moved yet.")
    moves = list(reversed(history.moves))[:_MOST_MOVES]
    head = ("When (UTC)", "Who", "Move", "From", "To", "Why")
    shown = table("Every move, newest first", head, [_move(each) for each in moves], tight=(0,))
    return h("section", h("h2", "Trail"), shown)


def _move(move: Move) -> tuple[Child, ...]:
    why = move.reason or str((move.gate or {}).get("comparison", ""))
    what = f"{move.action.value} {move.alias or ''}".strip()
    return (
        moment(move.at, seconds=True),
        move.by,
        what,
        move.before or "",
        move.after or "",
        clipped(why, 300),
    )


def _aliases(history: History) -> str:
    return ", ".join(f"{alias} = {version}" for alias, version in sorted(history.aliases.items()))
