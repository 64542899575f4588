"""The second round of a comparison whose grader is a model: its questions, asked like any other."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.arm import Arm, Plan
from orchestrator.domain.chat import ChatAnswer
from orchestrator.domain.comparison import Judging
from orchestrator.domain.errors import UsageError
from orchestrator.domain.statistics import kappa
from orchestrator.grading.grader import Item
from orchestrator.usecases.answering import answer_all, estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.answerbook import Comparisons
    from orchestrator.domain.arm import Progress
    from orchestrator.domain.sample import Sample
    from orchestrator.grading.grader import ModelGrader, Score
    from orchestrator.usecases.answering import Desk
    from orchestrator.usecases.arms import Host
    from orchestrator.usecases.sheets import Sheet

_BATCH = 200
_REPLY_TOKENS = 400
_GOOD = 0.5


class HumanLabel(NamedTuple):
    """Whether a person found an answer good."""

    row: int
    arm: str
    good: bool


@dataclass
class Bench:
    """Where a judge sits: who answers for it, and what its verdicts come to.

    Attributes:
        host: of the judging model; the job's provider when None.
        human: what a person found, to measure the judge by.
    """

    grader: ModelGrader
    host: Host | None = None
    human: Sequence[HumanLabel] = ()
    judged: int = 0
    flips: int = 0
    first: int = 0
    sided: int = 0
    verdicts: dict[tuple[int, str], bool] = field(default_factory=dict)

    def judge(
        self,
        desk: Desk,
        store: Comparisons,
        arms: Sequence[Arm],
        samples: Sequence[Sample],
        *,
        plan: Plan,
        sheets: Mapping[str, Sheet],
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Ask about every answer, and write the scores into the sheets."""
        if desk.run is None:
            raise ValueError("answers are judged out of a comparison")
        for arm in arms:
            for turn in range(plan.repeats):
                linked = f"{arm.name}~{turn + 1}" if turn else arm.name
                for at in range(0, len(samples), _BATCH):
                    some = samples[at : at + _BATCH]
                    answers = store.answers(desk.run, linked, [s.row for s in some])
                    replies = self._replies(desk, some, answers, plan, progress)
                    for place, sample in enumerate(some, at):
                        if sample.row in answers:
                            found = self._conclude(sample, answers[sample.row], replies[sample.row])
                            self._count(sample.row, arm.name, found)
                            sheets[arm.name].score(place, found.value, found.reason)

    def expected(
        self, desk: Desk, arms: Sequence[Arm], samples: Sequence[Sample], plan: Plan
    ) -> float | None:
        """Roughly what judging will cost, as if every arm answered as the references do."""
        answers = {s.row: _as_reference(s) for s in samples}
        asking = [self._arm(look, answers) for look in range(self.grader.looks)]
        once = replace(plan, repeats=1, max_tokens=_REPLY_TOKENS, temperature=0.0)
        usd, _ = estimate(desk, asking, samples, once)
        return None if usd is None else usd * len(arms) * plan.repeats

    def result(self) -> Judging:
        """How far the judge can be believed."""
        known = [label for label in self.human if (label.row, label.arm) in self.verdicts]
        said = ["good" if self.verdicts[label.row, label.arm] else "bad" for label in known]
        wanted = ["good" if label.good else "bad" for label in known]
        return Judging(
            model=self.grader.model,
            judged=self.judged,
            flips=self.flips,
            first=self.first / self.sided if self.sided else 0.0,
            labels=len(known),
            kappa=kappa(said, wanted) if known else None,
        )

    def _arm(self, look: int, answers: Mapping[int, ChatAnswer]) -> Arm:
        return Arm(
            name=f"look {look + 1}",
            model=self.grader.model,
            prompt=lambda s: self.grader.question(Item(sample=s, answer=answers[s.row]), look),
            chat=self.host.chat if self.host else None,
            account=self.host.account if self.host else None,
            provider=self.host.profile if self.host else "",
            kind=self.host.kind if self.host else "",
        )

    def _replies(
        self,
        desk: Desk,
        samples: Sequence[Sample],
        answers: Mapping[int, ChatAnswer],
        plan: Plan,
        progress: Callable[[Progress], None] | None,
    ) -> dict[int, list[str | None]]:
        # A judge is told no tools: it reads calls as text.
        asked = [replace(s, tools=None) for s in samples if s.row in answers]
        looks = self.grader.looks
        replies: dict[int, list[str | None]] = {s.row: [None] * looks for s in asked}
        arms = [self._arm(look, answers) for look in range(looks)]
        once = replace(plan, repeats=1, max_tokens=_REPLY_TOKENS, temperature=0.0)
        unlinked = replace(desk, run=None)
        with closing(answer_all(unlinked, arms, asked, once, progress)) as found:
            for call, answer, _ in found:
                if answer is not None:
                    replies[call.sample.row][int(call.arm.name.split()[1]) - 1] = answer.text
        return replies

    def _conclude(self, sample: Sample, answer: ChatAnswer, replies: list[str | None]) -> Score:
        given = [reply for reply in replies if reply is not None]
        return self.grader.conclude(Item(sample=sample, answer=answer), given)

    def _count(self, row: int, arm: str, found: Score) -> None:
        if found.value is None:
            return
        self.judged += 1
        self.flips += bool(found.flipped)
        self.first += found.first
        self.sided += found.sided
        self.verdicts[row, arm] = found.value >= _GOOD


def read_human_labels(path: Path) -> list[HumanLabel]:
    """What a person found, as JSONL: {"row": 3, "arm": "tuned", "good": true}.

    Raises:
        UsageError: a line that says something else.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            plain = json.loads(line)
            label = HumanLabel(int(plain["row"]), str(plain["arm"]), plain["good"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"Line {number} of {path} is no label of a person.",
                hint='{"row": 3, "arm": "tuned", "good": true}',
            ) from error
        if not isinstance(label.good, bool):
            raise UsageError(f"Line {number} of {path}: good is true or false.")
        found.append(label)
    return found


def _as_reference(sample: Sample) -> ChatAnswer:
    return ChatAnswer(
        text=sample.reference,
        finish_reason="stop",
        prompt_tokens=0,
        completion_tokens=0,
        latency=0.0,
    )
