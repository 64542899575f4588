"""Arms by name: `base`, `few-shot:6`, `tuned`. Others register as these do."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.comparison import Arm, Sample, digest
from orchestrator.domain.errors import UsageError
from orchestrator.usecases.samples import said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.job import Job

DEFAULT_ARMS = ("base", "few-shot:6", "tuned")


@dataclass(frozen=True, kw_only=True)
class ArmContext:
    """What an arm may be made from.

    Attributes:
        job: the tuned model and its base.
        training: rows of the training split; examples come from here only.
        samples: the test rows, which no example may repeat.
        seed: of the choice of examples.
    """

    job: Job
    training: Sequence[Sample]
    samples: Sequence[Sample]
    seed: int = 0


_makers: dict[str, Callable[[str, str | None, ArmContext], Arm]] = {}


def register(name: str, maker: Callable[[str, str | None, ArmContext], Arm]) -> None:
    """Add a kind of arm.

    Args:
        name: what stands before the colon.
        maker: takes the whole name, what stands after the colon, and the context.
    """
    _makers[name] = maker


def make_arms(names: Sequence[str], context: ArmContext) -> list[Arm]:
    """The arms of one comparison, in the order given; the same name twice asks twice (A/A).

    Raises:
        UsageError: an unknown arm, or nothing to compare.
    """
    arms: list[Arm] = []
    for name in names:
        arm = _make(name, context)
        again = sum(a.name.split("#")[0] == name for a in arms)
        arms.append(replace(arm, name=f"{name}#{again + 1}", repeat=again) if again else arm)
    if not any(a.candidate for a in arms) or all(a.candidate for a in arms):
        raise UsageError(
            "A comparison needs the tuned model and a baseline.",
            hint="--arm base --arm few-shot:6 --arm tuned",
        )
    return arms


def choose_shots(
    training: Sequence[Sample], samples: Sequence[Sample], count: int, seed: int
) -> list[Sample]:
    """Examples for a few-shot prompt: seeded, spread over the distinct answers, none of the test.

    Raises:
        UsageError: the training split has fewer usable rows.
    """
    asked = {said(sample) for sample in samples}
    usable = [example for example in training if said(example) not in asked]
    if len(usable) < count:
        raise UsageError(
            f"few-shot:{count} needs {count} training rows that are not test rows; there are "
            f"{len(usable)}."
        )
    rng = random.Random(seed)
    by_answer: dict[str, list[Sample]] = defaultdict(list)
    for example in usable:
        by_answer[example.reference.strip()].append(example)
    groups = [by_answer[answer] for answer in sorted(by_answer)]
    for group in groups:
        rng.shuffle(group)
    rng.shuffle(groups)
    rounds = (group[turn] for turn in range(len(usable)) for group in groups if turn < len(group))
    chosen = [example for _, example in zip(range(count), rounds, strict=False)]
    rng.shuffle(chosen)
    return chosen


def _make(name: str, context: ArmContext) -> Arm:
    kind, _, argument = name.partition(":")
    if kind not in _makers:
        known = ", ".join(sorted(_makers))
        raise UsageError(f"There is no arm '{name}'; known are {known}.", hint="--arm few-shot:6")
    return _makers[kind](name, argument or None, context)


def _base(name: str, argument: str | None, context: ArmContext) -> Arm:
    return Arm(name=name, model=argument or context.job.model, prompt=_as_asked, note="zero-shot")


def _tuned(name: str, argument: str | None, context: ArmContext) -> Arm:
    model = argument or context.job.tuned_model
    if model is None:
        raise UsageError(
            f"Job {context.job.id} has no tuned model; it is {context.job.status}.",
            hint=f"ftctl status {context.job.id}",
        )
    return Arm(name=name, model=model, prompt=_as_asked, candidate=True, note="zero-shot")


def _few_shot(name: str, argument: str | None, context: ArmContext) -> Arm:
    count = _count(name, argument)
    shots = choose_shots(context.training, context.samples, count, context.seed)
    turns = [turn for shot in shots for turn in _turns(shot)]
    rows = ", ".join(str(shot.row) for shot in shots)
    return Arm(
        name=name,
        model=context.job.model,
        prompt=lambda sample: _with_examples(sample, turns),
        note=f"training rows {rows}; {digest(turns)[:12]}",
    )


def _count(name: str, argument: str | None) -> int:
    if argument is None or not argument.isascii() or not argument.isdigit() or int(argument) < 1:
        raise UsageError(f"'{name}' does not say how many examples.", hint="--arm few-shot:6")
    return int(argument)


def _as_asked(sample: Sample) -> Sequence[Mapping[str, Any]]:
    return sample.messages


def _turns(shot: Sample) -> list[Mapping[str, Any]]:
    asked = [m for m in shot.messages if m.get("role") not in {"system", "developer"}]
    return [*asked, {"role": "assistant", "content": shot.reference}]


def _with_examples(
    sample: Sample, turns: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    # Examples after the system message and before the question: the prefix that caches reuse.
    start = 0
    while start < len(sample.messages) and sample.messages[start].get("role") in {
        "system",
        "developer",
    }:
        start += 1
    return [*sample.messages[:start], *turns, *sample.messages[start:]]


register("base", _base)
register("few-shot", _few_shot)
register("tuned", _tuned)
