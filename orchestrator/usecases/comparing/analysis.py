"""From graded answers to a result: metrics, paired differences, slices, and one word. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.canonical import digest
from orchestrator.domain.comparing import adequacy, resampling
from orchestrator.domain.comparing.comparison import ArmResult, Comparison, Difference, Noise
from orchestrator.domain.comparing.corpus import Corpus, Rows, compare_corpora
from orchestrator.domain.comparing.difference import Pair, compare_scores, family
from orchestrator.domain.comparing.labels import compare_labels, macro_f1
from orchestrator.domain.errors import AnswerIsNo
from orchestrator.usecases.comparing.conclusions import (
    interval,
    noise_of,
    noise_of_repeats,
    reason,
    spread,
    without_parity,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.domain.comparing.arm import Arm, Plan
    from orchestrator.grading.grader import CorpusGrader
    from orchestrator.usecases.comparing.facts import Facts
    from orchestrator.usecases.comparing.samples import SampleSet
    from orchestrator.usecases.comparing.sheets import Sheet

_FEWEST_IN_A_SLICE = 10
_NEAR_NAMED = 20
_OUTSIDE = "(none of the labels)"


@dataclass(frozen=True)
class Analysis:
    """The graded answers of every arm.

    Attributes:
        metric: name of the primary metric.
        places: of the samples that every arm answered; only they count.
        whole: the grader, where its scores add up to a metric of the whole set.
    """

    samples: SampleSet
    facts: Facts
    arms: Sequence[Arm]
    sheets: Mapping[str, Sheet]
    metric: str
    places: Sequence[int]
    plan: Plan
    whole: CorpusGrader | None = None

    def comparison(
        self, identity: str, job_id: str | None, created_at: str, fixed: Mapping[str, object]
    ) -> Comparison:
        """The whole result, but for the rows to be read.

        Raises:
            AnswerIsNo: no sample was answered by every arm.
        """
        if not self.places:
            raise AnswerIsNo("No sample was answered by every arm.")
        if self._grouped and len(set(self._groups(self.places))) < 2:
            raise AnswerIsNo("All rows are of one group, which decides nothing.")
        alpha, results = self.plan.alpha, [self._result(arm) for arm in self.arms]
        noise = self._noise()
        differences = family([self._difference(*pair) for pair in self._pairs()], alpha)
        if noise is not None and self.plan.margin is not None and self.plan.margin < noise.floor:
            differences = [without_parity(d, alpha) for d in differences]
        best = self._best(results)
        candidate = next(arm.name for arm in self.arms if arm.candidate)
        baseline = self.plan.source or self.plan.baseline or best
        decisive = next(
            d for d in differences if (d.candidate, d.baseline) == (candidate, baseline)
        )
        return Comparison(
            id=identity,
            job_id=job_id,
            created_at=created_at,
            test=self.samples.digest,
            plan=fixed,
            plan_digest=digest(fixed),
            metric=self.metric,
            arms=results,
            differences=differences,
            secondary=self._secondary(),
            slices=self._slices(candidate, baseline),
            verdict=decisive.verdict,
            best_baseline=best,
            reason=reason(decisive, self.plan, noise),
            leaked=self.samples.leaked,
            leakage_allowed=self.samples.leakage_allowed,
            repeated=self.samples.repeated,
            near_leaked=len(self.samples.near),
            near_dropped=self.samples.near_dropped,
            near_rows=[list(found) for found in self.samples.near[:_NEAR_NAMED]],
            detectable=adequacy.detectable(decisive, alpha=alpha),
            parity_rows=adequacy.rows_for_parity(decisive, decisive.parity.margin, alpha=alpha)
            if decisive.parity
            else None,
            rows_needed=adequacy.rows_for(decisive, alpha=alpha),
            source=self.plan.source,
            baseline=self.plan.baseline,
            noise=noise,
            groups=len(set(self._groups(self.places))) if self._grouped else None,
            latencies={a.name: spread(self.sheets[a.name].latencies) for a in self.arms},
        )

    @property
    def _grouped(self) -> bool:
        return self.facts.groups is not None

    def _groups(self, places: Sequence[int]) -> list[str]:
        groups = self.facts.groups or ()
        return [groups[place] for place in places]

    def _pairs(self) -> list[tuple[str, str]]:
        return [
            (new.name, old.name)
            for new in self.arms
            if new.candidate
            for old in self.arms
            if not old.candidate and old.again is None
        ]

    def _best(self, results: Sequence[ArmResult]) -> str:
        baselines = [r for r in results if not r.candidate and r.again is None]
        # A source that is to be replaced is no prompt to be beaten, unless it is all there is.
        rivals = [r for r in baselines if r.name != self.plan.source] or baselines
        return max(rivals, key=lambda r: r.metrics[self.metric]).name

    def _difference(
        self, candidate: str, baseline: str, places: Sequence[int] | None = None
    ) -> Difference:
        rows = self.places if places is None else places
        pair = self._pair(candidate, baseline, self.metric, rows)
        judged = places is None and self.plan.source in {None, baseline}
        margin = self.plan.margin if judged else None
        return compare_scores(pair, alpha=self.plan.alpha, margin=margin, seed=self.plan.seed)

    def _pair(self, candidate: str, baseline: str, metric: str, places: Sequence[int]) -> Pair:
        new, old = self.sheets[candidate], self.sheets[baseline]
        primary = metric == self.metric
        return Pair(
            candidate=candidate,
            baseline=baseline,
            metric=metric,
            new=new.scores(places) if primary else new.overlaps(places),
            old=old.scores(places) if primary else old.overlaps(places),
            groups=self._groups(places) if self._grouped else None,
        )

    def _noise(self) -> Noise | None:
        again = next((arm for arm in self.arms if arm.again is not None), None)
        if again is None or again.again is None:
            return self._noise_of_repeats()
        pair = self._pair(again.name, again.again, self.metric, self.places)
        return noise_of(compare_scores(pair, alpha=self.plan.alpha, seed=self.plan.seed))

    def _noise_of_repeats(self) -> Noise | None:
        wanted = self.plan.source or self.plan.baseline
        names = [wanted] if wanted else [arm.name for arm in self.arms if not arm.candidate]
        variances = self.sheets[names[0]].variances(self.places)
        return noise_of_repeats(names[0], variances) if variances else None

    def _secondary(self) -> list[Difference]:
        alpha, seed = self.plan.alpha, self.plan.seed
        overlaps = [
            compare_scores(self._pair(new, old, "token_f1", self.places), alpha=alpha, seed=seed)
            for new, old in self._pairs()
            if self.metric != "token_f1"
        ]
        corpora = [self._of_corpora(new, old, self.whole) for new, old in self._pairs()]
        found = family(overlaps, alpha) + family([d for d in corpora if d is not None], alpha)
        if not self.facts.labels:
            return found
        references = self._references()
        labels = [
            compare_labels(
                references,
                (new, self.sheets[new].labels(self.places)),
                (old, self.sheets[old].labels(self.places)),
                alpha=alpha,
                seed=seed,
            )
            for new, old in self._pairs()
        ]
        return found + family(labels, alpha)

    def _of_corpora(self, new: str, old: str, whole: CorpusGrader | None) -> Difference | None:
        if whole is None:
            return None
        pair = self._pair(new, old, self.metric, self.places)
        both = list(zip(pair.new, pair.old, strict=True))
        rows = Rows(sum(a > b for a, b in both), sum(a < b for a, b in both), pair.groups)
        mine, theirs = (Corpus(n, self.sheets[n].columns(self.places)) for n in (new, old))
        return compare_corpora(
            mine,
            theirs,
            whole.corpus,
            name=whole.corpus_name,
            rows=rows,
            alpha=self.plan.alpha,
            seed=self.plan.seed,
        )

    def _references(self) -> list[str]:
        return [self.facts.references[place] for place in self.places]

    def _slices(self, candidate: str, baseline: str) -> list[Difference]:
        by_slice: dict[str, list[int]] = {}
        for place in self.places:
            name = self.facts.slice_of(place)
            if name is not None:
                by_slice.setdefault(name, []).append(place)
        if len(by_slice) < 2:
            return []
        found = [
            replace(self._difference(candidate, baseline, places), slice=name)
            for name, places in sorted(by_slice.items())
            if len(places) >= _FEWEST_IN_A_SLICE and self._decidable(places)
        ]
        return family(found, self.plan.alpha)

    def _decidable(self, places: Sequence[int]) -> bool:
        return not self._grouped or len(set(self._groups(places))) > 1

    def _result(self, arm: Arm) -> ArmResult:
        sheet, groups = self.sheets[arm.name], self._groups(self.places) if self._grouped else None
        values = {self.metric: sheet.scores(self.places)}
        if self.metric != "token_f1":
            values["token_f1"] = sheet.overlaps(self.places)
        metrics = {name: resampling.mean(found) for name, found in values.items()}
        if self.whole is not None:
            sums = [sum(column) for column in sheet.columns(self.places)]
            metrics[self.whole.corpus_name] = self.whole.corpus(sums)
        counts = self._confusion(arm)
        if counts:
            metrics["macro_f1"] = macro_f1(counts)
        prompt, cached, completion, reasoning = sheet.mean_usage()
        ordered = sorted(sheet.latencies)
        return ArmResult(
            name=arm.name,
            model=arm.model,
            candidate=arm.candidate,
            n=len(self.places),
            missing=sheet.missing,
            metrics=metrics,
            intervals={n: interval(found, groups, self.plan.seed) for n, found in values.items()},
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=completion,
            reasoning_tokens=reasoning,
            latency_p50=resampling.quantile(ordered, 0.5),
            latency_p95=resampling.quantile(ordered, 0.95),
            truncated=sheet.truncated,
            outside=sum(n for (_, label), n in counts.items() if label == _OUTSIDE)
            if self.facts.labels
            else None,
            confusion=_rows_of(counts),
            provider=arm.provider,
            kind=arm.kind,
            priced_as=arm.priced_as,
            again=arm.again,
            answers=sheet.answers,
            note=arm.note,
        )

    def _confusion(self, arm: Arm) -> Counter[tuple[str, str]]:
        if not self.facts.labels:
            return Counter()
        given = self.sheets[arm.name].labels(self.places)
        named = [label if label in self.facts.labels else _OUTSIDE for label in given]
        return Counter(zip(self._references(), named, strict=True))


def _rows_of(counts: Counter[tuple[str, str]]) -> list[list[Any]]:
    return [[reference, label, count] for (reference, label), count in sorted(counts.items())]
