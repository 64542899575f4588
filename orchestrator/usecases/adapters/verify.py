"""Is a version what was registered, and does it still answer as it did?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.adapters.manifest import sha256
from orchestrator.domain.errors import (
    AdapterRefused,
    FtctlError,
    LocalStateError,
    ProviderRejected,
)
from orchestrator.usecases.adapters.copies import fetch
from orchestrator.usecases.adapters.probes import (
    TOLERANCE,
    ProbeResult,
    default_prompts,
    repeat,
    take,
)
from orchestrator.usecases.adapters.push import put_base

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator.domain.adapters.adapter import History
    from orchestrator.domain.adapters.manifest import Manifest
    from orchestrator.domain.adapters.ports import AdapterHost
    from orchestrator.domain.provider import ChatHost
    from orchestrator.usecases.adapters.registry import Registry


class Check(NamedTuple):
    """One question and its answer; `ok` None where it could not be asked."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was found of one version."""

    task: str
    version: str
    checks: Sequence[Check]
    probes: Sequence[ProbeResult] = field(default_factory=tuple)

    @property
    def ok(self) -> bool | None:
        """Whether all is well; None where not everything could be asked."""
        answers = [check.ok for check in self.checks]
        if False in answers:
            return False
        return None if None in answers else True


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """Who answers probes.

    Attributes:
        chat: the worker.
        files: the same, where it tells what a base model is; else None.
        reads_here: it can load a folder of this machine; else it is asked for `TASK@vN`.
        base: another base model to load the adapter on.
        tolerance: largest change of a log probability in nats.
    """

    chat: ChatHost
    files: AdapterHost | None = None
    reads_here: bool = True
    base: str | None = None
    tolerance: float = TOLERANCE


def verify(
    registry: Registry, task: str, wanted: str | None, examiner: Examiner | None
) -> Verification:
    """Check the trail, every byte, and the answers of a version.

    Args:
        registry: where it lies.
        task: the task.
        wanted: version or alias; the champion when None.
        examiner: None to look at the files only.

    Raises:
        UsageError: there is no such version.
        TryLater: the worker cannot be asked.
    """
    history = registry.repo.history(task)
    version = history.resolve(wanted)
    checks = [_trail(history)]
    probes: list[ProbeResult] = []
    with registry.stage() as stage:
        try:
            manifest = fetch(registry.repo, history, version, stage)
        except (AdapterRefused, LocalStateError) as error:
            return Verification(
                task=task, version=version, checks=[*checks, Check("files", False, error.message)]
            )
        checks.append(Check("files", True, f"digest {manifest.digest[:12]}, all numbers finite"))
        checks += _promised(history, version, registry.repo.manifest(history, version))
        if examiner is not None:
            probes = _examined(examiner, manifest, stage, checks)
    return Verification(task=task, version=version, checks=checks, probes=probes)


def _trail(history: History) -> Check:
    """Each move names the digest of the one before it."""
    previous = None
    for at, move in enumerate(history.moves, 1):
        if move.number != at or move.previous != previous:
            return Check("trail", False, f"move {at} does not follow from the one before it")
        previous = sha256(move.to_bytes())
    return Check("trail", True, f"{len(history.moves)} moves, each following from the one before")


def _promised(history: History, version: str, content: bytes) -> Iterator[Check]:
    """The manifest is the one that was promoted."""
    told = {move.manifest for move in history.moves if move.after == version and move.manifest}
    if told:
        same = told == {sha256(content)}
        detail = "is" if same else "is not"
        yield Check("manifest", same, f"{detail} the one that was promoted")


def _examined(
    examiner: Examiner, manifest: Manifest, stage: Path, checks: list[Check]
) -> list[ProbeResult]:
    if examiner.base is not None:
        put_base(stage, examiner.base)
    name = str(stage) if examiner.reads_here else f"{manifest.task}@{manifest.version}"
    try:
        checks.extend(_base(examiner, manifest, name))
        results = repeat(examiner.chat, name, manifest.probes, examiner.tolerance)
        if not results:
            take(examiner.chat, name, default_prompts()[:1])
    except ProviderRejected as error:
        checks.append(Check("loads", False, error.message))
        return []
    checks.append(Check("loads", True, f"on {examiner.base or manifest.base_model['name']}"))
    checks.append(_answers(results))
    return results


def _answers(results: Sequence[ProbeResult]) -> Check:
    if not results:
        return Check("answers", None, "no probes were recorded when it was registered")
    same = sum(result.same for result in results)
    detail = f"{same} of {len(results)} probes answered as then"
    return Check("answers", same == len(results), detail)


def _base(examiner: Examiner, manifest: Manifest, name: str) -> Iterator[Check]:
    was = manifest.base_model.get("revision")
    if examiner.files is None or was is None:
        return
    try:
        now = examiner.files.describe_adapter(name).get("base_model")
    except FtctlError as error:
        yield Check("base", None, error.message)
        return
    revision = now.get("revision") if isinstance(now, dict) else None
    if revision is None:
        yield Check("base", None, "the worker does not say which revision it has")
    else:
        same = revision == was
        detail = "the revision that was registered" if same else f"{revision}, registered on {was}"
        yield Check("base", same, detail)
