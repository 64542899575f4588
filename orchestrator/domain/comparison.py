"""A comparison: arms that answered the same samples, their differences, and a verdict."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.chat import ChatAnswer
    from orchestrator.domain.provider import ChatHost


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
class Sample:
    """An evaluation row.

    Attributes:
        row: its number in the file, from 1.
        messages: the conversation up to the answer.
        reference: the answer it should get.
        slice: the part of the task it belongs to, if the rows say so.
        tools: tools offered with it.
    """

    row: int
    messages: Sequence[Mapping[str, Any]]
    reference: str
    slice: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None

    @property
    def asked(self) -> str:
        """The last thing the user said."""
        said = [text_of(m) for m in self.messages if m.get("role") == "user"]
        return said[-1] if said else ""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A model with a prompt and decoding settings.

    Attributes:
        name: how it was asked for: base, few-shot:6, tuned.
        model: in the provider's words.
        prompt: from a sample to the messages that are sent.
        candidate: whether it is compared with the others, or is one of them.
        repeat: counts repeated askings of the same thing, which the cache must keep apart.
        chat: who answers, where it is not the job's own provider.
        account: fingerprint of that provider's account.
        note: what else the report should say, such as the rows that serve as examples.
    """

    name: str
    model: str
    prompt: Callable[[Sample], Sequence[Mapping[str, Any]]]
    candidate: bool = False
    repeat: int = 0
    chat: ChatHost | None = None
    account: str | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is fixed before the first answer exists.

    Attributes:
        grader: name of the grader of the primary metric, with its argument after a colon.
        margin: largest loss that does not matter, as a proportion; None asks for improvement.
        alpha: two-sided level of every test.
        max_missing: share of unanswered or ungradable rows above which there is no result.
        max_tokens: most tokens of an answer.
        concurrency: calls under way at once.
        seed: of every draw.
    """

    grader: str = "exact"
    margin: float | None = None
    alpha: float = 0.05
    max_missing: float = 0.01
    max_tokens: int = 256
    concurrency: int = 8
    seed: int = 0


class Progress(NamedTuple):
    """How far a run is, in calls."""

    done: int
    total: int
    cached: int
    missing: int


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
class Comparison:
    """Arms on the same samples, and what follows.

    Attributes:
        test: digest of the samples that were asked.
        plan_digest: of everything that was fixed before the first answer.
        leaked: rows left out because training has them; `repeated` because the test has them twice.
        verdict: of the first candidate against its best baseline.
        best_baseline: the baseline with the highest primary metric.
        detectable: smallest difference that these rows find at 80 % power; None when none is.
    """

    id: str
    job_id: str
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
    detectable: float | None = None
    latencies: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def decisive(self) -> Difference:
        """The difference that the verdict is about."""
        return next(d for d in self.differences if d.baseline == self.best_baseline)

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
        }
        return cls(**{**plain, **nested})


class Comparisons(Protocol):
    """Where comparisons, answers and reports are kept. Every method is one transaction."""

    def begin(self, comparison: str, job_id: str, at: datetime, config: Mapping[str, Any]) -> str:
        """Commit the plan before the first call; an unfinished run of the same plan is taken up.

        Returns:
            The id of the comparison: the one given, or that of the unfinished run.
        """
        ...

    def cached(self, keys: Iterable[str]) -> Mapping[str, ChatAnswer]:
        """Those answers that are known, by key."""
        ...

    def keep(
        self, comparison: str, answers: Iterable[tuple[str, int, str, ChatAnswer]], at: datetime
    ) -> None:
        """Keep answers as (arm, row, key, answer); a known key is only linked."""
        ...

    def finish(self, comparison: str, result: Mapping[str, Any]) -> None:
        """Store the result."""
        ...

    def find(self, prefix: str) -> Comparison:
        """The one finished comparison whose id starts with `prefix`.

        Raises:
            UsageError: none, or more than one.
        """
        ...

    def latest(self, job_id: str) -> Comparison | None:
        """The newest finished comparison of a job."""
        ...

    def answers(
        self, comparison: str, arm: str, rows: Sequence[int] | None = None
    ) -> Mapping[int, ChatAnswer]:
        """The answers of an arm, by row; all of them, or those to `rows`."""
        ...

    def keep_report(self, report: Mapping[str, Any], comparison: str | None, at: datetime) -> None:
        """Append a report as it was written."""
        ...


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a chat message, whatever shape its content has."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def plain_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON values that any encoder can write: a lone surrogate becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    plain: dict[str, Any] = json.loads(text.encode("utf-8", "replace"))
    return plain


def digest(value: object) -> str:
    """SHA-256 of a plain value in canonical JSON, in hex."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _difference(plain: Mapping[str, Any]) -> Difference:
    parity = plain.get("parity")
    nested = {
        "verdict": Word(plain["verdict"]),
        "parity": ParityTest(**parity) if parity else None,
    }
    return Difference(**{**plain, **nested})
