"""A comparison: arms that answered the same samples, their differences, and a verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from orchestrator.domain.canonical import plain_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: How the method is called that compares right and wrong answers.
BINARY = "Tango interval"


class Word(StrEnum):
    """A verdict in one word."""

    IMPROVED = "Improved"  #: better, beyond chance
    PARITY = "Parity"  #: not worse by the margin or more, beyond chance
    DEGRADED = "Degraded"  #: worse, beyond chance
    INCONCLUSIVE = "Inconclusive"  #: these rows do not decide
    TOO_FEW = "TooFewSamples"  #: under ten rows nothing is decided

    @property
    def passes(self) -> bool | None:
        """Whether a gate opens; None when the evidence does not decide."""
        if self in {Word.IMPROVED, Word.PARITY}:
            return True
        return False if self is Word.DEGRADED else None


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """One arm, measured.

    Attributes:
        n: samples that every arm answered, on which all metrics are computed.
        missing: samples this arm did not answer, or whose answer could not be graded.
        metrics: name to value between 0 and 1; the first is the primary one.
        intervals: name to the ends of its 95 % interval.
        prompt_tokens: mean per request, as the other token counts.
        latency_p50: seconds.
        truncated: answers cut off at the token limit.
        outside: answers that are none of the labels, where the task is one of labels. An arm that
            mostly answers outside was not told, or did not grasp, what is asked for.
        confusion: (reference, answered label, how often), where the task is one of labels.
        provider: profile that answered; `kind` what drives it; empty for the job's own.
        priced_as: the model's name in the price file, where it is not the model's own.
        again: the arm that this one asked a second time.
        answers: that were taken, repeats included.
        usd_per_1000: dollars for a thousand such requests; None when unpriced, 0 when no bill comes.
    """

    name: str
    model: str
    candidate: bool
    n: int
    missing: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]
    prompt_tokens: float
    cached_tokens: float
    completion_tokens: float
    latency_p50: float
    latency_p95: float
    truncated: int = 0
    outside: int | None = None
    confusion: Sequence[Sequence[Any]] = ()
    reasoning_tokens: float = 0.0
    provider: str = ""
    kind: str = ""
    priced_as: str = ""
    again: str | None = None
    answers: int = 0
    usd_per_1000: float | None = None
    note: str = ""

    @property
    def misses_the_point(self) -> bool:
        """Whether more than half of its answers are none of the labels."""
        return self.outside is not None and 2 * self.outside > self.n


@dataclass(frozen=True, kw_only=True)
class ParityTest:
    """Non-inferiority at a margin that was fixed before the results."""

    margin: float
    p: float
    low: float
    high: float
    equivalent: bool


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Candidate less baseline on the rows both answered.

    Attributes:
        diff: difference of the metric, as a proportion; `low` and `high` its 95 % interval.
        p: of the paired test alone; `p_holm` adjusted for the family it belongs to.
        won: rows on which the candidate scored more; `lost` on which it scored less.
        slice: the part of the task it is about; None for all rows.
        units: what varied by itself: rows, or groups of rows; 0 when they are the rows.
    """

    candidate: str
    baseline: str
    metric: str
    method: str
    n: int
    diff: float
    low: float
    high: float
    p: float
    p_holm: float
    won: int
    lost: int
    verdict: Word
    parity: ParityTest | None = None
    slice: str | None = None
    units: int = 0

    @property
    def decided_by(self) -> int:
        """How many independent observations it rests on."""
        return self.units or self.n

    @property
    def is_binary(self) -> bool:
        """Whether it counts rows that were won and lost, each standing alone."""
        return self.method.startswith(BINARY)


@dataclass(frozen=True, kw_only=True)
class RowPair:
    """A sample that the candidate won or lost, to be read by a person."""

    row: int
    asked: str
    reference: str
    candidate: str
    baseline: str
    won: bool


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How much an arm differs from itself when it is asked twice (A/A).

    Attributes:
        discordant: share of rows on which the two askings earned different scores.
        low: with `high`, the 95 % interval of a difference that is truly 0.
    """

    arm: str
    again: str
    n: int
    diff: float
    low: float
    high: float
    discordant: float

    @property
    def floor(self) -> float:
        """Half the width of the interval: no margin below it can be judged."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """An arm's mean score as a person would give it, from the judge and some labels.

    Attributes:
        value: with `low` and `high` its 95 % interval; `judged` what the judge alone says.
        labels: answers that the person judged; `weight` of the judge, 0 to 1.
    """

    arm: str
    value: float
    low: float
    high: float
    judged: float
    labels: int
    weight: float


@dataclass(frozen=True, kw_only=True)
class CorrectedDifference:
    """Candidate less baseline as a person would find it, from the judge and some labels.

    Attributes:
        value: with `low` and `high` its 95 % interval; `judged` what the judge alone says.
        labels: rows of which the person judged both arms' answers; `weight` of the judge, 0 to 1.
    """

    candidate: str
    baseline: str
    value: float
    low: float
    high: float
    judged: float
    labels: int
    weight: float


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How far a model that judged can be believed.

    Attributes:
        judged: answers that were judged in both orders.
        flips: of them, judged otherwise when the two answers changed places.
        first: verdicts for whichever answer came first, as a share of all verdicts for one of two.
        longer: verdicts for the longer of two answers, as a share of the `decided` ones.
        opponent: the arm that answers were judged against; None for the references.
        kin: arms whose model is of the judge's own family, which a judge prefers.
        labels: answers that a person judged, too; `kappa` agreement with that person.
        corrected: what follows for the arms that were labelled enough.
        differences: the same for pairs of arms that were labelled on the same rows.
    """

    model: str
    judged: int
    flips: int
    first: float
    decided: int = 0
    longer: float = 0.0
    opponent: str | None = None
    kin: Sequence[str] = ()
    labels: int = 0
    kappa: float | None = None
    corrected: Sequence[Corrected] = ()
    differences: Sequence[CorrectedDifference] = ()

    @property
    def flip_rate(self) -> float:
        """Share of judgements that depend on the order."""
        return self.flips / self.judged if self.judged else 0.0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arms on the same samples, and what follows.

    Attributes:
        job_id: whose tuned model is measured; None where models were compared without a job.
        test: digest of the samples that were asked.
        plan_digest: of everything that was fixed before the first answer.
        leaked: rows left out because training has them; `repeated` because the test has them twice.
        near_leaked: rows that nearly repeat a training row; left out where `near_dropped`.
        near_rows: the first of them: row, training row, likeness.
        verdict: of the first candidate against the source, else the baseline that was named, else
            the best one.
        best_baseline: the baseline with the highest primary metric; the source is none.
        source: the arm that parity was measured against.
        baseline: the arm that was named as the one to beat; None leaves it to the best one.
        detectable: smallest difference that these rows find at 80 % power; None when none is.
        parity_rows: rows that parity needs for 80 % power if both arms are truly equal.
        rows_needed: rows that find a difference of 5 points with 80 % power, varying as these do.
        margin_after: a comparison of the same rows that had a result before this margin was fixed.
        spent: dollars paid in this run; None when a price is not known. `asked` calls were made.
        asked_for: in the words of a spec's `compare`, with the test file; empty when not known.
        facts: everything that makes two comparisons of a job the same.
        groups: how many groups the rows fall into, where they depend on each other.
    """

    id: str
    job_id: str | None
    created_at: str
    test: str
    plan: Mapping[str, Any]
    plan_digest: str
    metric: str
    arms: Sequence[ArmResult]
    differences: Sequence[Difference]
    verdict: Word
    best_baseline: str
    reason: str
    secondary: Sequence[Difference] = ()
    slices: Sequence[Difference] = ()
    examples: Sequence[RowPair] = ()
    leaked: int = 0
    leakage_allowed: bool = False
    repeated: int = 0
    near_leaked: int = 0
    near_dropped: bool = False
    near_rows: Sequence[Sequence[float]] = ()
    detectable: float | None = None
    parity_rows: int | None = None
    rows_needed: int | None = None
    source: str | None = None
    baseline: str | None = None
    noise: Noise | None = None
    judging: Judging | None = None
    margin_after: str | None = None
    groups: int | None = None
    spent: float | None = None
    asked: int = 0
    latencies: Mapping[str, Sequence[float]] = field(default_factory=dict)
    asked_for: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def decisive(self) -> Difference:
        """The difference that the verdict is about."""
        return self.against(self.source or self.baseline or self.best_baseline)

    @property
    def best(self) -> Difference:
        """The first candidate against the baseline that was named, else the best one."""
        return self.against(self.baseline or self.best_baseline)

    def against(self, baseline: str) -> Difference:
        """The first candidate against a baseline."""
        return next(d for d in self.differences if d.baseline == baseline)

    def arm(self, name: str) -> ArmResult:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `schemas/compare.schema.json` describes them."""
        return plain_json(asdict(self))

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Comparison:
        """The inverse of `as_json`."""
        nested = {
            "arms": [ArmResult(**arm) for arm in plain["arms"]],
            "differences": [_difference(d) for d in plain["differences"]],
            "secondary": [_difference(d) for d in plain["secondary"]],
            "slices": [_difference(d) for d in plain["slices"]],
            "examples": [RowPair(**row) for row in plain["examples"]],
            "verdict": Word(plain["verdict"]),
            "noise": Noise(**plain["noise"]) if plain.get("noise") else None,
            "judging": _judging(plain["judging"]) if plain.get("judging") else None,
        }
        return cls(**{**plain, **nested})


def _judging(plain: Mapping[str, Any]) -> Judging:
    corrected = [Corrected(**each) for each in plain.get("corrected", ())]
    differences = [CorrectedDifference(**each) for each in plain.get("differences", ())]
    return Judging(**{**plain, "corrected": corrected, "differences": differences})


def _difference(plain: Mapping[str, Any]) -> Difference:
    parity = plain.get("parity")
    nested = {
        "verdict": Word(plain["verdict"]),
        "parity": ParityTest(**parity) if parity else None,
    }
    return Difference(**{**plain, **nested})
