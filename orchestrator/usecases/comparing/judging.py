"""The second round of a comparison whose grader is a model: its questions, asked like any other."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain.chat import ChatAnswer
from orchestrator.domain.comparing.arm import Arm, Plan
from orchestrator.domain.comparing.comparison import Corrected, CorrectedDifference, Judging
from orchestrator.domain.comparing.powered import (
    FEWEST_LABELS,
    Powered,
    powered_difference,
    powered_mean,
)
from orchestrator.domain.comparing.resampling import mean
from orchestrator.domain.comparing.statistics import kappa
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.model_names import family
from orchestrator.grading.grader import Item, Score
from orchestrator.grading.judge import Judge
from orchestrator.usecases.comparing.answering import answer_all, estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from orchestrator.domain.comparing.answerbook import Comparisons
    from orchestrator.domain.comparing.arm import Progress
    from orchestrator.domain.comparing.sample import Sample
    from orchestrator.grading.grader import ModelGrader
    from orchestrator.usecases.comparing.answering import Desk
    from orchestrator.usecases.comparing.arms import Host
    from orchestrator.usecases.comparing.sheets import Sheet

_BATCH = 200
_REPLY_TOKENS = 400
_GOOD = _TIE = 0.5


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
    decided: int = 0
    longer: int = 0
    opponent: str | None = None
    kin: Sequence[str] = ()
    verdicts: dict[tuple[int, str], bool] = field(default_factory=dict)
    corrected: list[Corrected] = field(default_factory=list)
    differences: list[CorrectedDifference] = field(default_factory=list)

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
        self.opponent = _opponent(self.grader, arms, plan)
        self.kin = [a.name for a in arms if family(a.model) == family(self.grader.model)]
        ask = partial(self._replies, desk, plan=plan, progress=progress)
        for arm in arms:
            for turn in range(plan.repeats):
                again = f"~{turn + 1}" if turn else ""
                for at in range(0, len(samples), _BATCH):
                    some = samples[at : at + _BATCH]
                    read = partial(store.answers, desk.run, rows=[s.row for s in some])
                    answers = read(f"{arm.name}{again}")
                    pairs = self._pairs(some, read(f"{self.opponent}{again}"))
                    found = self._scores(arm.name, pairs, answers, ask)
                    for place, sample in enumerate(some, at):
                        if sample.row in found:
                            one = found[sample.row]
                            sheets[arm.name].score(place, one.value, one.reason)
            self._correct(arm.name, samples, sheets[arm.name])
        self._correct_pairs(arms, samples, sheets)

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
            decided=self.decided,
            longer=self.longer / self.decided if self.decided else 0.0,
            opponent=self.opponent,
            kin=self.kin,
            labels=len(known),
            kappa=kappa(said, wanted) if known else None,
            corrected=self.corrected,
            differences=self.differences,
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

    def _pairs(self, samples: Sequence[Sample], theirs: Mapping[int, ChatAnswer]) -> list[Sample]:
        """The rows, each with what its answer is held against as the reference."""
        # A judge is told no tools: it reads calls as text.
        bare = [replace(sample, tools=None) for sample in samples]
        if self.opponent is None:
            return bare
        return [replace(s, reference=theirs[s.row].said) for s in bare if s.row in theirs]

    def _scores(
        self,
        arm: str,
        samples: Sequence[Sample],
        answers: Mapping[int, ChatAnswer],
        ask: Callable[[Sequence[Sample], Mapping[int, ChatAnswer]], dict[int, list[str | None]]],
    ) -> dict[int, Score]:
        """By row; what both arms answered alike is a tie that nobody needs to be asked about."""
        here = [sample for sample in samples if sample.row in answers]
        found, asked = {}, []
        for sample in here:
            if self.opponent is not None and answers[sample.row].said == sample.reference:
                found[sample.row] = Score(value=_TIE, reason="the same answer")
            else:
                asked.append(sample)
        replies = ask(asked, answers) if asked else {}
        for sample in asked:
            item = Item(sample=sample, answer=answers[sample.row])
            given = [reply for reply in replies[sample.row] if reply is not None]
            found[sample.row] = self.grader.conclude(item, given)
            self._count(item, arm, found[sample.row])
        return found

    def _replies(
        self,
        desk: Desk,
        asked: Sequence[Sample],
        answers: Mapping[int, ChatAnswer],
        *,
        plan: Plan,
        progress: Callable[[Progress], None] | None,
    ) -> dict[int, list[str | None]]:
        looks = self.grader.looks
        replies: dict[int, list[str | None]] = {s.row: [None] * looks for s in asked}
        arms = [self._arm(look, answers) for look in range(looks)]
        once = replace(plan, repeats=1, max_tokens=_REPLY_TOKENS, temperature=0.0)
        unlinked = replace(desk, run=None)
        with closing(answer_all(unlinked, arms, asked, once, progress)) as found:
            for answered in found:
                call = answered.call
                if answered.answer is not None:
                    look = int(call.arm.name.split()[1]) - 1
                    replies[call.sample.row][look] = answered.answer.text
        return replies

    def _count(self, item: Item, arm: str, found: Score) -> None:
        if found.value is None:
            return
        self.judged += 1
        self.flips += bool(found.flipped)
        self.first += found.first
        self.sided += found.sided
        self.verdicts[item.sample.row, arm] = found.value >= _GOOD
        more = len(item.text) - len(item.sample.reference)
        if found.value in {0.0, 1.0} and more:
            self.decided += 1
            self.longer += (more > 0) == (found.value == 1.0)

    def _correct(self, arm: str, samples: Sequence[Sample], sheet: Sheet) -> None:
        """The arm's mean as a person would give it, where enough of its answers have a label."""
        said = self._said(arm)
        places = [place for place in range(len(samples)) if sheet.has(place)]
        scores = sheet.scores(places)
        found = _powered(samples, places, said, scores, powered_mean)
        if found is not None:
            low, high = max(0.0, found.low), min(1.0, found.high)
            judged, labels = mean(scores), _labelled(samples, places, said)
            self.corrected.append(
                Corrected(
                    arm=arm, value=found.value, low=low, high=high, judged=judged,
                    labels=labels, weight=found.weight,
                )
            )  # fmt: skip

    def _correct_pairs(
        self, arms: Sequence[Arm], samples: Sequence[Sample], sheets: Mapping[str, Sheet]
    ) -> None:
        """The same for differences, on the rows that both arms answered and have labels of."""
        if self.opponent is not None:
            # A share of wins against another arm is no share of good answers.
            return
        pairs = [
            (new.name, old.name)
            for new in arms
            if new.candidate
            for old in arms
            if not old.candidate and old.again is None
        ]
        for new, old in pairs:
            mine, theirs = self._said(new), self._said(old)
            said = {row: mine[row] - theirs[row] for row in mine.keys() & theirs.keys()}
            both = sheets[new], sheets[old]
            places = [p for p in range(len(samples)) if all(sheet.has(p) for sheet in both)]
            scores = [a - b for a, b in zip(*(sheet.scores(places) for sheet in both), strict=True)]
            found = _powered(samples, places, said, scores, powered_difference)
            if found is not None:
                self.differences.append(
                    CorrectedDifference(
                        candidate=new,
                        baseline=old,
                        value=found.value,
                        low=found.low,
                        high=found.high,
                        judged=mean(scores),
                        labels=_labelled(samples, places, said),
                        weight=found.weight,
                    )
                )

    def _said(self, arm: str) -> dict[int, float]:
        return {label.row: float(label.good) for label in self.human if label.arm == arm}


def _labelled(samples: Sequence[Sample], places: Sequence[int], said: Mapping[int, float]) -> int:
    return sum(samples[place].row in said for place in places) if said else 0


def _powered(
    samples: Sequence[Sample],
    places: Sequence[int],
    said: Mapping[int, float],
    scores: Sequence[float],
    estimate: Callable[[Sequence[float], Sequence[float], Sequence[float]], Powered],
) -> Powered | None:
    """What the person would find on every place; None where too few have a label."""
    if len(said) < FEWEST_LABELS:
        return None
    rows = [samples[place].row for place in places]
    known = [(said[row], score) for row, score in zip(rows, scores, strict=True) if row in said]
    if len(known) < FEWEST_LABELS:
        return None
    elsewhere = [score for row, score in zip(rows, scores, strict=True) if row not in said]
    return estimate([y for y, _ in known], [f for _, f in known], elsewhere)


def _opponent(grader: ModelGrader, arms: Sequence[Arm], plan: Plan) -> str | None:
    if not (isinstance(grader, Judge) and grader.against_arm):
        return None
    first = next(arm.name for arm in arms if not arm.candidate)
    return plan.source or plan.baseline or first


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
