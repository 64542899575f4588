"""Examples for a few-shot prompt: which ones, and how many by the one-standard-error rule."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.domain.comparing.resampling import mean, standard_error
from orchestrator.domain.errors import UsageError
from orchestrator.usecases.comparing.samples import said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.comparing.sample import Sample

COUNTS = (0, 2, 4, 8, 16)
# Rows of the training split that are asked to choose how many examples; never test rows.
_MOST_DEV, _DEV_SHARE, _FEWEST_DEV = 100, 0.2, 10


class Split(NamedTuple):
    """Training rows cut in two: those that choose, and those that examples come from."""

    dev: Sequence[Sample]
    pool: Sequence[Sample]


class Choice(NamedTuple):
    """How many examples, and what was measured to choose."""

    shots: int
    means: Mapping[int, float]
    error: float
    dev: int

    @property
    def note(self) -> str:
        """The choice in words."""
        shown = ", ".join(f"{k}: {100 * value:.1f}" for k, value in self.means.items())
        return (
            f"{self.shots} examples by the one-standard-error rule on {self.dev} training rows "
            f"({shown}; SE {100 * self.error:.1f})"
        )


def choose_shots(
    training: Sequence[Sample], samples: Sequence[Sample], count: int, seed: int
) -> list[Sample]:
    """Examples for a few-shot prompt: seeded, spread over the distinct answers, none of the test.

    Raises:
        UsageError: the training split has fewer usable rows.
    """
    usable = _usable(training, samples)
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


def split_for_choice(training: Sequence[Sample], samples: Sequence[Sample], seed: int) -> Split:
    """Cut the training rows in two, seeded.

    Raises:
        UsageError: there are too few rows to choose with.
    """
    usable = _usable(training, samples)
    size = min(_MOST_DEV, int(_DEV_SHARE * len(usable)))
    if size < _FEWEST_DEV:
        raise UsageError(
            f"few-shot:auto needs {int(_FEWEST_DEV / _DEV_SHARE)} training rows that are not test "
            f"rows; there are {len(usable)}.",
            hint="--arm few-shot:4",
        )
    drawn = set(random.Random(seed).sample(range(len(usable)), size))
    return Split(
        dev=[row for place, row in enumerate(usable) if place in drawn],
        pool=[row for place, row in enumerate(usable) if place not in drawn],
    )


def choose_count(counts: Sequence[int], measure: Callable[[int], Sequence[float]]) -> Choice:
    """The smallest count within one standard error of the best (Breiman 1984).

    Args:
        counts: to try, in ascending order.
        measure: from a count to the scores of the dev rows.
    """
    scores = {count: measure(count) for count in counts}
    means = {count: mean(found) for count, found in scores.items()}
    best = max(counts, key=lambda count: means[count])
    error = standard_error(scores[best])
    count = next(count for count in counts if means[count] >= means[best] - error)
    return Choice(count, means, error, len(scores[best]))


def turns_of(shots: Sequence[Sample]) -> list[Mapping[str, Any]]:
    """Examples as turns of a conversation, without their system messages."""
    return [turn for shot in shots for turn in _turns(shot)]


def with_examples(
    messages: Sequence[Mapping[str, Any]], turns: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """Examples after the system message and before the question: the prefix that caches reuse."""
    start = 0
    while start < len(messages) and messages[start].get("role") in {"system", "developer"}:
        start += 1
    return [*messages[:start], *turns, *messages[start:]]


def _usable(training: Sequence[Sample], samples: Sequence[Sample]) -> list[Sample]:
    asked = {said(sample) for sample in samples}
    return [example for example in training if said(example) not in asked]


def _turns(shot: Sample) -> list[Mapping[str, Any]]:
    asked = [m for m in shot.messages if m.get("role") not in {"system", "developer"}]
    if not shot.calls:
        return [*asked, {"role": "assistant", "content": shot.reference}]
    # A call that nothing answers is refused by the hosts.
    results = [
        {"role": "tool", "tool_call_id": call.get("id"), "content": "{}"} for call in shot.calls
    ]
    return [*asked, {"role": "assistant", "content": None, "tool_calls": shot.calls}, *results]
