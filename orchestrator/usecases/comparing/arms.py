"""Arms by name: `base`, `few-shot:6`, `tuned`, `rag:docs/`. Others register as these do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.canonical import digest
from orchestrator.domain.comparing.arm import Arm
from orchestrator.domain.errors import UsageError
from orchestrator.usecases.comparing.arm_specs import ArmSpec, Part, parse_arm
from orchestrator.usecases.comparing.classical import fit
from orchestrator.usecases.comparing.passages import library, read_passages
from orchestrator.usecases.comparing.recording import recorded_arm
from orchestrator.usecases.comparing.shots import (
    COUNTS,
    Choice,
    choose_count,
    choose_shots,
    split_for_choice,
    turns_of,
    with_examples,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.chat import ChatAnswer, ChatRequest
    from orchestrator.domain.comparing.answerbook import Recordings
    from orchestrator.domain.comparing.retrieval import Passage, Retriever
    from orchestrator.domain.comparing.sample import Sample
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.provider import ChatHost

DEFAULT_ARMS = ("base", "few-shot:6", "tuned")


class Host(NamedTuple):
    """Who answers for an arm that is not the job's own provider's."""

    profile: str
    kind: str
    account: str
    chat: ChatHost


class Nobody:
    """Who answers where there is no job: no one, so that every arm must name its own host."""

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Refuse.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"Nobody is named who answers for {request.model}.", hint="--provider PROFILE"
        )


@dataclass(frozen=True, kw_only=True)
class ArmContext:
    """What an arm may be made from.

    Attributes:
        job: the tuned model and its base; None where every arm names its own model.
        profile: who answers for arms that name nobody, where there is no job.
        training: rows of the training split; examples come from here only.
        samples: the test rows, which no example and no passage may repeat.
        seed: of the choice of examples.
        host: opens another profile.
        retriever: indexes passages.
        recordings: answers that were frozen.
        cheapest: the cheapest current base of a kind of provider; None when the prices name none.
        measure: asks an arm some rows and gives their scores; chooses the number of examples.
        pin: of a profile and a model's name, the name that always means the same weights.
    """

    job: Job | None
    training: Sequence[Sample]
    samples: Sequence[Sample]
    seed: int = 0
    profile: str = ""
    host: Callable[[str], Host] | None = None
    retriever: Callable[[Sequence[Passage]], Retriever] | None = None
    recordings: Recordings | None = None
    cheapest: Callable[[str], str | None] | None = None
    measure: Callable[[Arm, Sequence[Sample]], Sequence[float]] | None = None
    pin: Callable[[str, str], str] | None = None


_makers: dict[str, Callable[[ArmSpec, ArmContext], Arm]] = {}


def register(head: str, maker: Callable[[ArmSpec, ArmContext], Arm]) -> None:
    """Add a kind of arm; `head` is what its name starts with."""
    _makers[head] = maker


def make_arms(
    names: Sequence[str],
    context: ArmContext,
    *,
    source: str | None = None,
    baseline: str | None = None,
    candidates: Sequence[str] = (),
) -> list[Arm]:
    """The arms of one comparison, in the order given; the same name twice asks twice (A/A).

    Args:
        names: as they were typed.
        context: what they are made from.
        source: the arm that parity is measured against; added when it is not among the names.
        baseline: the arm that the verdict is about; added likewise.
        candidates: the arms that are compared with the others; added likewise. When none is named
            they are the tuned models, and without a job and a tuned model the last arm.

    Raises:
        UsageError: an unknown arm, or nothing to compare.
    """
    wanted = [*names, *(n for n in (source, baseline, *candidates) if n and n not in names)]
    specs = {name: parse_arm(name) for name in wanted}
    chosen = set(candidates) or _usual_candidates(wanted, specs, context)
    arms: list[Arm] = []
    for name in wanted:
        spec = specs[name]
        if spec.head == "again":
            arms.append(_again(spec, arms, source))
            continue
        same = [arm for arm in arms if arm.name == name]
        again = sum((arm.again or arm.name) == name for arm in arms)
        if same:
            arms.append(_asked_again(same[0], again))
        else:
            arms.append(replace(make_arm(spec, context), candidate=name in chosen))
    _refuse_nothing(arms, context, {"source": source, "baseline": baseline})
    return arms


def _usual_candidates(
    names: Sequence[str], specs: Mapping[str, ArmSpec], context: ArmContext
) -> set[str]:
    tuned = {name for name in names if specs[name].head == "tuned"}
    once = [n for n in names if names.count(n) == 1 and specs[n].head != "again"]
    return tuned or (set(once[-1:]) if context.job is None else set())


def _refuse_nothing(
    arms: Sequence[Arm], context: ArmContext, named: Mapping[str, str | None]
) -> None:
    baselines = [a for a in arms if not a.candidate and a.again is None]
    if not any(a.candidate for a in arms) or not baselines:
        if context.job is None:
            raise UsageError(
                "A comparison needs two arms: a baseline and a candidate.",
                hint="--arm recorded:old --arm model:openai/gpt-6-luna",
            )
        raise UsageError(
            "A comparison needs the tuned model and a baseline.",
            hint="--arm base --arm few-shot:6 --arm tuned",
        )
    for role, name in named.items():
        if name and name not in {arm.name for arm in baselines}:
            what = "parity is measured against a baseline" if role == "source" else "name another"
            raise UsageError(f"'{name}' is a candidate; {what}.")


def make_arm(spec: ArmSpec, context: ArmContext) -> Arm:
    """One arm: its model, who hosts it, and the prompts around it.

    Raises:
        UsageError: it cannot be made.
    """
    arm = _pinned(_hosted(_makers[spec.head](spec, context), spec, context), context)
    for part in spec.parts:
        arm = _PARTS[part.kind](arm, part, context)
    return arm


def _hosted(arm: Arm, spec: ArmSpec, context: ArmContext) -> Arm:
    if spec.profile is None and (context.job is not None or arm.chat is not None):
        return replace(arm, model=spec.model or arm.model)
    profile = spec.profile or context.profile
    if not profile:
        raise UsageError(
            f"'{spec.name}' does not say who answers.",
            hint="--arm model:PROFILE/MODEL, or --provider PROFILE for all of them",
        )
    if context.job is not None and profile == context.job.provider:
        return replace(arm, model=spec.model or arm.model)
    if context.host is None:
        raise UsageError(f"'{spec.name}' names another provider, which cannot be asked here.")
    if not (spec.model or spec.argument or spec.head == "successor"):
        raise UsageError(
            f"'{spec.name}' does not say which model of {profile}.",
            hint=f"--arm {spec.head}@{profile}:MODEL",
        )
    host = context.host(profile)
    return replace(
        arm,
        model=spec.model or arm.model,
        chat=host.chat,
        account=host.account,
        provider=host.profile,
        kind=host.kind,
        priced_as="",
    )


def _pinned(arm: Arm, context: ArmContext) -> Arm:
    """An alias may move between this run and the next, which reuses its answers by name."""
    if context.pin is None or arm.free:
        return arm
    profile = arm.provider or (context.job.provider if context.job else "")
    return replace(arm, model=context.pin(profile, arm.model)) if profile else arm


def _base(spec: ArmSpec, context: ArmContext) -> Arm:
    # Without a job the model stands in the arm's own name, or `_hosted` says that it is missing.
    model = spec.argument or spec.model or (context.job.model if context.job else "")
    return Arm(name=spec.name, model=model, prompt=_as_asked, note="zero-shot")


def _tuned(spec: ArmSpec, context: ArmContext) -> Arm:
    job = context.job
    model = spec.argument or spec.model or (job.tuned_model if job else None)
    if model is None and job is None:
        raise UsageError(
            f"'{spec.name}' is the tuned model of a job, and no job is named.",
            hint="ftctl compare JOB, or --arm model:PROFILE/MODEL",
        )
    if model is None and job is not None:
        raise UsageError(
            f"Job {job.id} has no tuned model; it is {job.status}.", hint=f"ftctl status {job.id}"
        )
    # A deployment has a name of its own; it is priced as what it was tuned from.
    priced = f"ft:{job.model}" if job and model and not model.startswith("ft:") else ""
    return Arm(
        name=spec.name,
        model=model or "",
        prompt=_as_asked,
        priced_as=priced,
        note="zero-shot",
    )


def _successor(spec: ArmSpec, context: ArmContext) -> Arm:
    job, profile = context.job, spec.profile or context.profile
    kind = job.kind if job else ""
    if profile and not (job and profile == job.provider) and context.host is not None:
        kind = context.host(profile).kind
    model = spec.model or spec.argument or (context.cheapest(kind) if context.cheapest else None)
    if model is None:
        whose = profile or (job.provider if job else "nobody")
        raise UsageError(
            f"The price file names no current base model of {whose}.",
            hint="--arm successor@openai, or --arm base@PROFILE:MODEL",
        )
    return Arm(name=spec.name, model=model, prompt=_as_asked, note="cheapest current base")


def _recorded(spec: ArmSpec, context: ArmContext) -> Arm:
    if spec.argument is None or context.recordings is None:
        raise UsageError(f"'{spec.name}' names no recording.", hint="--arm recorded:NAME")
    recording = context.recordings.get(spec.argument)
    answers = context.recordings.frozen(recording.name)
    return recorded_arm(spec.name, recording, answers, context.samples)


def _classical(spec: ArmSpec, context: ArmContext) -> Arm:
    rows = [
        [row.reference, *(str(m.get("content")) for m in row.messages)] for row in context.training
    ]
    return Arm(
        name=spec.name,
        model="tf-idf + logistic regression",
        prompt=_as_asked,
        chat=fit(context.training, context.seed),
        account=f"classical:{context.seed}:{digest(rows)}",
        provider="this machine",
        kind="classical",
        free=True,
        note=f"fitted on {len(context.training)} training rows",
    )


def _again(spec: ArmSpec, arms: Sequence[Arm], source: str | None) -> Arm:
    first = next((a.name for a in arms if a.again is None), None)
    wanted = spec.argument or source or first
    found = [arm for arm in arms if arm.name == wanted]
    if not found:
        raise UsageError(f"'{spec.name}' must stand after the arm it asks again.")
    return replace(_asked_again(found[0], 1), name=f"again:{found[0].name}")


def _asked_again(arm: Arm, times: int) -> Arm:
    if arm.candidate:
        raise UsageError(f"'{arm.name}' stands there twice; ask a baseline twice for the noise.")
    return replace(arm, name=f"{arm.name}#{times + 1}", repeat=times, again=arm.name)


def _few_shot(arm: Arm, part: Part, context: ArmContext) -> Arm:
    if part.argument == "auto":
        return _best_few_shot(arm, context)
    shots = choose_shots(context.training, context.samples, int(part.argument), context.seed)
    return _shown(arm, shots)


def _best_few_shot(arm: Arm, context: ArmContext) -> Arm:
    if context.measure is None:
        raise UsageError(
            "few-shot:auto asks the model before the comparison, which it cannot here."
        )
    measure = context.measure
    split = split_for_choice(context.training, context.samples, context.seed)
    counts = [count for count in COUNTS if count <= len(split.pool)]

    def scores(count: int) -> Sequence[float]:
        shots = choose_shots(split.pool, split.dev, count, context.seed)
        return measure(_shown(arm, shots), split.dev)

    choice: Choice = choose_count(counts, scores)
    shots = choose_shots(split.pool, context.samples, choice.shots, context.seed)
    chosen = _shown(arm, shots)
    return replace(chosen, note=f"{choice.note}; {chosen.note}")


def _shown(arm: Arm, shots: Sequence[Sample]) -> Arm:
    turns, inner = turns_of(shots), arm.prompt
    rows = ", ".join(str(shot.row) for shot in shots)
    return replace(
        arm,
        prompt=lambda sample: with_examples(inner(sample), turns),
        note=f"training rows {rows}; {digest(turns)[:12]}" if shots else "zero-shot",
    )


def _retrieval(arm: Arm, part: Part, context: ArmContext) -> Arm:
    if context.retriever is None:
        raise UsageError("There is no index for passages here.")
    passages = read_passages(Path(part.argument))
    retriever = context.retriever(passages)
    try:
        shown = library(retriever, passages, context.samples, Path(part.argument).name)
    finally:
        retriever.close()
    inner = arm.prompt
    note = shown.note if arm.note == "zero-shot" else f"{arm.note}; {shown.note}"
    return replace(arm, prompt=lambda sample: shown.around(inner(sample), sample.row), note=note)


def _as_asked(sample: Sample) -> Sequence[Mapping[str, Any]]:
    return sample.messages


_PARTS: Mapping[str, Callable[[Arm, Part, ArmContext], Arm]] = {
    "few-shot": _few_shot,
    "rag": _retrieval,
}
register("base", _base)
register("model", _base)
register("tuned", _tuned)
register("successor", _successor)
register("recorded", _recorded)
register("classical", _classical)
