"""Aliases that move, and versions that go: promote, roll back, remove."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.adapters.adapter import Action, Move
from orchestrator.domain.adapters.manifest import sha256
from orchestrator.domain.adapters.names import CANDIDATE, CHAMPION, check_alias
from orchestrator.domain.errors import AnswerIsNo, Conflict
from orchestrator.usecases.adapters.push import metrics_of
from orchestrator.usecases.adapters.registry import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.adapters.adapter import History
    from orchestrator.domain.adapters.manifest import Manifest
    from orchestrator.domain.comparing.answerbook import Comparisons
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.usecases.adapters.registry import Registry

_TRIES = 8


class Moved(NamedTuple):
    """An alias and what it means; `move` is None where it meant that already."""

    alias: str
    version: str
    move: Move | None


def promote(
    registry: Registry,
    task: str,
    version: str,
    *,
    alias: str = CHAMPION,
    comparisons: Sequence[Comparison] = (),
    forced: bool = False,
    reason: str = "",
) -> Moved:
    """Let an alias mean a version.

    Args:
        registry: where.
        task: the task.
        version: `vN`, or another alias.
        alias: what moves; every alias but `candidate` wants a passed gate.
        comparisons: that may open the gate, newest first; what the manifest says when none does.
        forced: no gate is wanted; `reason` says why.
        reason: kept in the trail.

    Raises:
        AnswerIsNo: the gate is not passed.
        Conflict: another process moved first.
    """
    check_alias(alias)
    history = registry.repo.history(task)
    version = history.resolve(version)
    content = registry.repo.manifest(history, version)
    if history.aliases.get(alias) == version:
        return Moved(alias, version, None)
    gate: dict[str, Any] | None = {"forced": True}
    if not forced:
        gate = None if alias == CANDIDATE else _gate(read_manifest(content), comparisons)
    move = _next(registry, history, Action.PROMOTE, alias=alias, after=version, reason=reason)
    move = replace(move, gate=gate, manifest=sha256(content))
    _append(registry, history, move)
    return Moved(alias, version, move)


def gate_openers(
    registry: Registry, store: Comparisons, task: str, version: str, wanted: str | None = None
) -> Sequence[Comparison]:
    """What may open the gate: the comparison that was named, or those of the version's job."""
    if wanted is not None:
        return [store.find(wanted)]
    history = registry.repo.history(task)
    job = read_manifest(registry.repo.manifest(history, history.resolve(version))).job
    return store.all(job["id"] if job else None)


def rollback(registry: Registry, task: str, *, alias: str = CHAMPION, reason: str = "") -> Moved:
    """Let an alias mean again what it meant before its last promotion.

    Raises:
        AnswerIsNo: there is nothing before.
        Conflict: another process moved first.
    """
    history = registry.repo.history(task)
    version = history.before(alias)
    if version is None:
        now = history.aliases.get(alias)
        raise AnswerIsNo(
            f"'{alias}' of '{task}' had no version before {now or 'any'} that is still there."
        )
    move = _next(registry, history, Action.ROLLBACK, alias=alias, after=version, reason=reason)
    move = replace(move, manifest=sha256(registry.repo.manifest(history, version)))
    _append(registry, history, move)
    return Moved(alias, version, move)


def remove(registry: Registry, task: str, version: str, reason: str = "") -> None:
    """Take a version away; the trail keeps that it was there.

    Raises:
        AnswerIsNo: an alias means it.
        UsageError: there is no such version.
    """
    history = registry.repo.history(task)
    if version not in history.removed:
        version = history.resolve(version)
        names = sorted(alias for alias, meant in history.aliases.items() if meant == version)
        if names:
            raise AnswerIsNo(
                f"{task}@{version} is the {' and the '.join(names)}; it stays.",
                hint=f"ftctl adapters promote {task} vN --to {names[0]}",
            )
        move = _next(registry, history, Action.REMOVE, reason=reason)
        _append(registry, history, replace(move, before=version))
        history = registry.repo.history(task)
    registry.repo.drop(history, version)


def _append(registry: Registry, history: History, move: Move) -> None:
    """Add a move; what others did to other tasks meanwhile is no conflict.

    Raises:
        Conflict: somebody changed this task.
    """
    for _ in range(_TRIES):
        try:
            registry.repo.add_move(history, move)
            return
        except Conflict:
            now = registry.repo.history(history.task)
            if (list(now.moves), now.versions) != (list(history.moves), history.versions):
                raise
            history = now
    raise Conflict(f"Others keep changing {registry.repo.where}.", hint="try again")


def _next(
    registry: Registry,
    history: History,
    action: Action,
    *,
    reason: str,
    alias: str | None = None,
    after: str | None = None,
) -> Move:
    return Move(
        number=len(history.moves) + 1,
        at=registry.clock.now(),
        by=registry.by,
        action=action,
        alias=alias,
        before=history.aliases.get(alias) if alias else None,
        after=after,
        reason=reason,
        previous=history.last_move,
    )


def _gate(manifest: Manifest, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The newest comparison of this adapter, if it passed.

    Raises:
        AnswerIsNo: it did not, or there is none.
    """
    name = f"{manifest.task}@{manifest.version}"
    about = {name, (manifest.job or {}).get("tuned_model")}
    found = next(
        (one for one in comparisons if one.arm(one.decisive.candidate).model in about), None
    )
    known = metrics_of(found) if found is not None else manifest.metrics
    hint = f'ftctl adapters promote {manifest.task} {manifest.version} --force --reason "..."'
    if known is None:
        job = (manifest.job or {}).get("id")
        raise AnswerIsNo(
            f"{name} was never compared with anything, so no gate is passed.",
            hint=f"ftctl compare {job} --test test.jsonl" if job else hint,
        )
    word = known["verdict"]
    if word not in {"Improved", "Parity"}:
        raise AnswerIsNo(
            f"{name} has not passed its gate: comparison {known['comparison']} says {word}.",
            hint=hint,
        )
    return {name: known[name] for name in ("comparison", "test", "verdict")}
