"""Ask an arm some rows and grade the answers: what chooses the number of examples."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from orchestrator.domain.errors import TryLater, UsageError
from orchestrator.grading.grader import Item, ModelGrader, score
from orchestrator.usecases.comparing.answering import answer_all, estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.domain.comparing.arm import Arm, Plan, Progress
    from orchestrator.domain.comparing.sample import Sample
    from orchestrator.grading.grader import Grader
    from orchestrator.usecases.comparing.answering import Desk


def measure(
    desk: Desk,
    plan: Plan,
    grader: Grader,
    progress: Callable[[Progress], None] | None = None,
) -> Callable[[Arm, Sequence[Sample]], Sequence[float]]:
    """What `few-shot:auto` asks with: from an arm and rows to their scores.

    Raises:
        UsageError: the grader asks a model, or the rows cost more than the till's limit.
        TryLater: rows stayed without an answer.
    """

    def scores(arm: Arm, samples: Sequence[Sample]) -> list[float]:
        if isinstance(grader, ModelGrader):
            raise UsageError(
                "few-shot:auto cannot choose by a judge.",
                hint="--arm few-shot:8, or another grader",
            )
        desk.till.refuse(estimate(desk, [arm], samples, plan)[0])
        found: list[float] = []
        with closing(answer_all(desk, [arm], samples, plan, progress)) as answers:
            for answered in answers:
                if answered.answer is None:
                    raise answered.error or TryLater("A row that chooses has no answer.")
                item = Item(sample=answered.call.sample, answer=answered.answer)
                value = score(grader, item).value
                if value is not None:
                    found.append(value)
        if not found:
            raise UsageError("No training row that chooses could be graded.")
        return found

    return scores
