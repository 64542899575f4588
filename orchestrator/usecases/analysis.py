"""From graded answers to a result: metrics, paired differences, slices, and one word. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.domain import power, resampling, statistics
from orchestrator.domain.comparison import (
    Arm,
    ArmResult,
    Comparison,
    Difference,
    Plan,
    Word,
    digest,
)
from orchestrator.domain.difference import (
    Pair,
    all_or_nothing,
    compare_labels,
    compare_scores,
    family,
)
from orchestrator.domain.errors import AnswerIsNo
from orchestrator.grading.metrics import confusion, labels_of, macro_f1
from orchestrator.grading.text import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.errors import FtctlError
    from orchestrator.grading.grader import Grader
    from orchestrator.usecases.samples import SampleSet

_LATENCIES = 101
_FEWEST_IN_A_SLICE = 10


@dataclass
class Sheet:
    """The graded answers of one arm, by row; texts are not kept."""

    scores: dict[int, float] = field(default_factory=dict)
    overlaps: dict[int, float] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    usage: list[tuple[int, int, int]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    missing: int = 0
    truncated: int = 0
    error: FtctlError | None = None


@dataclass(frozen=True)
class Analysis:
    """The graded answers of every arm. Only `rows`, which every arm answered, count."""

    samples: SampleSet
    arms: Sequence[Arm]
    sheets: Mapping[str, Sheet]
    grader: Grader
    rows: Sequence[int]
    plan: Plan

    @cached_property
    def known_labels(self) -> frozenset[str]:
        """The labels of a classification task; empty when it is none."""
        return frozenset(labels_of([sample.reference for sample in self.samples.samples]) or ())

    def comparison(
        self, identity: str, job_id: str, created_at: str, fixed: Mapping[str, object]
    ) -> Comparison:
        """The whole result, but for the rows to be read.

        Raises:
            AnswerIsNo: no sample was answered by every arm.
        """
        if not self.rows:
            raise AnswerIsNo("No sample was answered by every arm.")
        results = [self._result(arm) for arm in self.arms]
        differences = family([self._difference(*pair) for pair in self._pairs()], self.plan.alpha)
        best = max((r for r in results if not r.candidate), key=lambda r: r.metrics[self._metric])
        candidate = next(arm.name for arm in self.arms if arm.candidate)
        decisive = next(
            d for d in differences if d.candidate == candidate and d.baseline == best.name
        )
        discordance = (decisive.won + decisive.lost) / decisive.n
        return Comparison(
            id=identity,
            job_id=job_id,
            created_at=created_at,
            test=self.samples.digest,
            plan=fixed,
            plan_digest=digest(fixed),
            metric=self._metric,
            arms=results,
            differences=differences,
            secondary=self._secondary(),
            slices=self._slices(candidate, best.name),
            verdict=decisive.verdict,
            best_baseline=best.name,
            reason=_reason(decisive),
            leaked=self.samples.leaked,
            leakage_allowed=self.samples.leakage_allowed,
            repeated=self.samples.repeated,
            detectable=power.detectable(decisive.n, discordance),
            latencies={a.name: _spread(self.sheets[a.name].latencies) for a in self.arms},
        )

    @property
    def _metric(self) -> str:
        return self.grader.name

    def _pairs(self) -> list[tuple[str, str]]:
        return [
            (new.name, old.name)
            for new in self.arms
            if new.candidate
            for old in self.arms
            if not old.candidate
        ]

    def _scores(self, arm: str, rows: Sequence[int] | None = None) -> list[float]:
        return [self.sheets[arm].scores[row] for row in (self.rows if rows is None else rows)]

    def _references(self) -> list[str]:
        known = {s.row: s.reference for s in self.samples.samples}
        return [normalise(known[row]) for row in self.rows]

    def _labels(self, arm: str) -> list[str]:
        return [self.sheets[arm].labels[row] for row in self.rows]

    def _outside(self, arm: str) -> int | None:
        if not self.known_labels:
            return None
        return sum(label not in self.known_labels for label in self._labels(arm))

    def _difference(
        self, candidate: str, baseline: str, rows: Sequence[int] | None = None
    ) -> Difference:
        pair = Pair(
            candidate=candidate,
            baseline=baseline,
            metric=self._metric,
            new=self._scores(candidate, rows),
            old=self._scores(baseline, rows),
        )
        margin = self.plan.margin if rows is None else None
        return compare_scores(pair, alpha=self.plan.alpha, margin=margin, seed=self.plan.seed)

    def _secondary(self) -> list[Difference]:
        overlaps = [
            compare_scores(
                Pair(
                    candidate=new,
                    baseline=old,
                    metric="token_f1",
                    new=[self.sheets[new].overlaps[row] for row in self.rows],
                    old=[self.sheets[old].overlaps[row] for row in self.rows],
                ),
                alpha=self.plan.alpha,
                seed=self.plan.seed,
            )
            for new, old in self._pairs()
            if self._metric != "token_f1"
        ]
        if not self.known_labels:
            return family(overlaps, self.plan.alpha)
        labels = [
            compare_labels(
                self._references(),
                (new, self._labels(new)),
                (old, self._labels(old)),
                macro_f1,
                alpha=self.plan.alpha,
                seed=self.plan.seed,
            )
            for new, old in self._pairs()
        ]
        return family(overlaps, self.plan.alpha) + family(labels, self.plan.alpha)

    def _slices(self, candidate: str, baseline: str) -> list[Difference]:
        by_slice: dict[str, list[int]] = {}
        counted = set(self.rows)
        for sample in self.samples.samples:
            name = sample.slice or (normalise(sample.reference) if self.known_labels else None)
            if name is not None and sample.row in counted:
                by_slice.setdefault(name, []).append(sample.row)
        if len(by_slice) < 2:
            return []
        found = [
            replace(self._difference(candidate, baseline, rows), slice=name)
            for name, rows in sorted(by_slice.items())
            if len(rows) >= _FEWEST_IN_A_SLICE
        ]
        return family(found, self.plan.alpha)

    def _result(self, arm: Arm) -> ArmResult:
        sheet, scores = self.sheets[arm.name], self._scores(arm.name)
        metrics = {self._metric: resampling.mean(scores)}
        intervals = {self._metric: _interval(scores, self.plan.seed)}
        if self._metric != "token_f1":
            overlaps = [sheet.overlaps[row] for row in self.rows]
            metrics["token_f1"] = resampling.mean(overlaps)
            intervals["token_f1"] = _interval(overlaps, self.plan.seed)
        if self.known_labels:
            metrics["macro_f1"] = macro_f1(confusion(self._references(), self._labels(arm.name)))
        prompt, cached, completion = (
            resampling.mean([float(usage[i]) for usage in sheet.usage]) for i in range(3)
        )
        ordered = sorted(sheet.latencies)
        return ArmResult(
            name=arm.name,
            model=arm.model,
            candidate=arm.candidate,
            n=len(self.rows),
            missing=sheet.missing,
            metrics=metrics,
            intervals=intervals,
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=completion,
            latency_p50=resampling.quantile(ordered, 0.5),
            latency_p95=resampling.quantile(ordered, 0.95),
            truncated=sheet.truncated,
            outside=self._outside(arm.name),
            note=arm.note,
        )


def _interval(scores: Sequence[float], seed: int) -> list[float]:
    if all_or_nothing(scores):
        return list(statistics.wilson(round(sum(scores)), len(scores)))
    low, high = resampling.bootstrap(scores, seed=seed)
    return [max(0.0, low), min(1.0, high)]


def _spread(latencies: Sequence[float]) -> list[float]:
    """At most 101 quantiles: enough to draw the distribution, whatever the number of rows."""
    ordered = sorted(latencies)
    if len(ordered) <= _LATENCIES:
        return ordered
    return [resampling.quantile(ordered, i / (_LATENCIES - 1)) for i in range(_LATENCIES)]


def _reason(found: Difference) -> str:
    points = f"{100 * found.diff:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    against = f"{found.candidate} against {found.baseline}, its best baseline: {points}"
    words = {
        Word.IMPROVED: f"better beyond chance, p {found.p_holm:.2g}",
        Word.DEGRADED: f"worse beyond chance, p {found.p_holm:.2g}",
        Word.PARITY: "not worse by the margin or more",
        Word.INCONCLUSIVE: "these rows do not decide",
        Word.TOO_FEW: "fewer than ten rows decide nothing",
    }
    return f"{against}; {words[found.verdict]}."
