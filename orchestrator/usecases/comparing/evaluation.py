"""A comparison as it is asked for by words: a test file, arms by name, a grader by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.canonical import digest
from orchestrator.domain.comparing.arm import Plan
from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.measurement import Measurement
from orchestrator.grading.grader import ModelGrader
from orchestrator.grading.registry import grader_for, make_grader
from orchestrator.specs.building import arm_from, grader_from
from orchestrator.usecases.comparing import arms as arm_names
from orchestrator.usecases.comparing import compare as comparing
from orchestrator.usecases.comparing.answering import Desk
from orchestrator.usecases.comparing.judging import Bench, read_human_labels
from orchestrator.usecases.comparing.measuring import measure
from orchestrator.usecases.comparing.samples import read_samples, select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from orchestrator.domain.clock import Clock
    from orchestrator.domain.comparing.answerbook import Comparisons, Recordings
    from orchestrator.domain.comparing.arm import Arm, Progress
    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.comparing.retrieval import Passage, Retriever
    from orchestrator.domain.comparing.sample import Sample
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Lifecycle
    from orchestrator.domain.ledger import DatasetStore
    from orchestrator.domain.money.prices import PriceBook
    from orchestrator.domain.provider import Provider
    from orchestrator.grading.grader import Grader
    from orchestrator.usecases.comparing.arms import Host
    from orchestrator.usecases.comparing.samples import SampleSet
    from orchestrator.usecases.comparing.till import Till


# What changes how fast a comparison is, and not what it says.
_NOT_FACTS = frozenset(
    {"concurrency", "max_cost", "allow_unpriced", "test", "training", "seen", "human"}
)


@dataclass(frozen=True, kw_only=True)
class Evaluation(Measurement):
    """What is asked for, in words: a measurement, on which rows, and what it may cost.

    Attributes:
        provider: profile that answers for arms that name nobody, where there is no job.
        training: rows that examples come from; the job's own when None.
        seen: rows that no test row may repeat; the training rows when empty.
        max_cost: dollars.
    """

    test: Path
    provider: str = ""
    max_cost: float | None = None
    allow_unpriced: bool = False
    training: Path | None = None
    seen: Sequence[Path] = ()

    @classmethod
    def of(cls, measurement: Measurement, test: Path, **more: Any) -> Evaluation:
        """A measurement on these rows."""
        names = Measurement.__dataclass_fields__
        return cls(**{name: getattr(measurement, name) for name in names}, test=test, **more)

    @property
    def named_grader(self) -> str | None:
        """The grader of the primary metric; None where the rows choose it.

        Raises:
            UsageError: two ways to choose one, or no grader suits the task.
        """
        if self.grader and self.task:
            raise UsageError("--grader and --task both choose a grader; give one of them.")
        return self.grader or (grader_for(self.task) if self.task else None)

    def grader_of(self, rows: SampleSet) -> str:
        """The grader of the primary metric on these rows.

        Raises:
            UsageError: as for `named_grader`.
        """
        return self.named_grader or ("tool-calls" if rows.calls_tools else "exact")

    @property
    def arm_names(self) -> Sequence[str]:
        """The arms, or those that are asked of a job when none is named."""
        return self.arms or arm_names.DEFAULT_ARMS

    @property
    def words(self) -> dict[str, Any]:
        """What was typed, without what has its usual value: a spec's `compare`, and the rows.

        Paths are absolute, so that it means the same wherever it is written down.
        """
        usual, here = Measurement(), Path.cwd()
        said = {name: getattr(self, name) for name in Measurement.__dataclass_fields__}
        changed = {k: v for k, v in said.items() if v not in (getattr(usual, k), None, ())}
        for name in {"arms", "candidates"} & changed.keys():
            changed[name] = [arm_from(arm, here) for arm in changed[name]]
        for name in {"baseline", "source"} & changed.keys():
            changed[name] = arm_from(changed[name], here)
        if "grader" in changed:
            changed["grader"] = grader_from(changed["grader"], here)
        if "human" in changed:
            changed["human"] = str(here / changed["human"])
        return {"test": str(here / self.test), **changed}

    def facts(self, rows: SampleSet, arms: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Everything that makes two comparisons the same, but the job.

        Args:
            rows: that are asked.
            arms: name and note of each arm.
        """
        plain = {name: value for name, value in asdict(self).items() if name not in _NOT_FACTS}
        human = digest(self.human.read_text("utf-8", "replace")) if self.human else None
        return {
            **plain,
            "grader": self.grader_of(rows),
            "test": rows.digest,
            "arms": [list(arm) for arm in arms],
            "candidates": list(self.candidates),
            "human": human,
        }


def anyone(_job: Job, _arms: Sequence[Arm]) -> None:
    """Every arm can be asked."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What comparisons are made with.

    Attributes:
        till: opens the till of one run: for a job and what is asked of it, under a title.
        admit: refuses arms whose model cannot be asked now.
        pin: of a profile and a model's name, the name that always means the same weights.
    """

    datasets: DatasetStore
    comparisons: Comparisons
    recordings: Recordings
    clock: Clock
    prices: PriceBook
    lifecycle: Lifecycle
    provider: Callable[[str], Provider]
    host: Callable[[str], Host]
    retriever: Callable[[Sequence[Passage]], Retriever]
    till: Callable[[Job | None, Evaluation, str], AbstractContextManager[Till]]
    admit: Callable[[Job, Sequence[Arm]], None] = anyone
    pin: Callable[[str, str], str] | None = None


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A comparison whose arms, samples and plan are fixed, and that was not begun."""

    job: Job | None
    chosen: SampleSet
    arms: Sequence[Arm]
    plan: Plan
    grader: Grader
    bench: Bench | None
    desk: Desk
    store: Comparisons
    wanted: Evaluation
    progress: Callable[[Progress], None] | None = None

    def run(self, begun: Callable[[str], None] | None = None) -> Comparison:
        """Ask, grade, test; `begun` is told the comparison's id before the first call."""
        return comparing.compare(
            self.job,
            self.chosen,
            self.arms,
            chat=self.desk.chat,
            store=self.store,
            clock=self.desk.clock,
            plan=self.plan,
            progress=self.progress,
            till=self.desk.till,
            grader=self.grader,
            bench=self.bench,
            begun=begun,
            asked_for=self.wanted.words,
            facts=self.facts,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What makes it the same comparison as another one of this job."""
        return self.wanted.facts(self.chosen, [(arm.name, arm.note) for arm in self.arms])


def make_ready(
    job: Job | None,
    wanted: Evaluation,
    shop: Shop,
    till: Till,
    progress: Callable[[Progress], None] | None = None,
) -> Ready:
    """Read the rows, make the arms and fix the plan; `few-shot:auto` may ask the model here.

    Args:
        job: whose tuned model is measured; None where each arm names its own model.
        wanted: what is asked for.
        shop: what it is made with.
        till: counts the money, and holds its limit.
        progress: is told of every answer.

    Raises:
        UsageError: what was asked for makes no sense.
        DatasetInvalid: the test rows do.
    """
    rows = wanted.training or (shop.datasets.path(job.data) if job else None)
    training = read_samples(rows) if rows else []
    chosen = chosen_rows(wanted, training)
    plan = fixed_plan(wanted, chosen)
    grader = make_grader(plan.grader)
    bench = _bench(shop, grader, wanted, job)
    desk = Desk(
        run=None,
        chat=shop.provider(job.provider) if job else arm_names.Nobody(),
        account=job.account if job else "",
        store=shop.comparisons,
        clock=shop.clock,
        till=till,
    )
    context = arm_names.ArmContext(
        job=job,
        training=chosen.clean(training),
        samples=chosen.samples,
        seed=wanted.seed,
        profile=wanted.provider,
        host=shop.host,
        retriever=shop.retriever,
        recordings=shop.recordings,
        cheapest=partial(cheapest, shop),
        pin=shop.pin,
        measure=measure(desk, plan, grader, progress),
    )
    arms = arm_names.make_arms(
        wanted.arm_names if job else wanted.arms,
        context,
        source=wanted.source,
        baseline=wanted.baseline,
        candidates=wanted.candidates,
    )
    if job is not None:
        shop.admit(job, arms)
    return Ready(
        job=job,
        chosen=chosen,
        arms=arms,
        plan=plan,
        grader=grader,
        bench=bench,
        desk=desk,
        store=shop.comparisons,
        wanted=wanted,
        progress=progress,
    )


def chosen_rows(wanted: Evaluation, training: Sequence[Sample]) -> SampleSet:
    """The test rows that are asked."""
    seen = [row for path in wanted.seen for row in read_samples(path)] or training
    return select(
        read_samples(wanted.test, slice_by=wanted.slice_by, group_by=wanted.group_by),
        seen,
        allow_leakage=wanted.allow_leakage,
        drop_near=wanted.drop_near,
        limit=wanted.limit,
        seed=wanted.seed,
    )


def fixed_plan(wanted: Evaluation, chosen: SampleSet) -> Plan:
    """Everything that is fixed before the first answer exists.

    Raises:
        UsageError: options that exclude each other, or make no sense.
    """
    if wanted.source and wanted.margin is None:
        raise UsageError("--source needs a margin.", hint=f"--source {wanted.source} --margin 3")
    if wanted.source and wanted.baseline:
        raise UsageError("--source and --baseline both name what the verdict is about; give one.")
    references = (sample.reference for sample in chosen.samples)
    return Plan(
        grader=wanted.grader_of(chosen),
        margin=_proportion(wanted.margin),
        source=wanted.source,
        baseline=wanted.baseline,
        max_missing=wanted.max_missing / 100,
        max_tokens=wanted.max_tokens or comparing.token_limit(references),
        temperature=wanted.temperature,
        repeats=wanted.repeats,
        concurrency=wanted.concurrency,
        seed=wanted.seed,
    )


def cheapest(shop: Shop, kind: str) -> str | None:
    """The cheapest current base of a kind of provider."""
    return shop.prices.cheapest_base(kind, shop.lifecycle, shop.clock.now().date())


def _proportion(points: float | None) -> float | None:
    if points is not None and not 0 < points < 100:
        raise UsageError("A margin lies between 0 and 100 points.", hint="--margin 3")
    return None if points is None else points / 100


def _bench(shop: Shop, grader: Grader, wanted: Evaluation, job: Job | None) -> Bench | None:
    if not isinstance(grader, ModelGrader):
        if wanted.human:
            raise UsageError("--human measures a judge, and this grader asks no model.")
        return None
    profile = grader.profile or wanted.provider
    if not profile and job is None:
        raise UsageError(
            f"The judge {grader.model} does not say who answers for it.",
            hint=f"--grader judge:{grader.model}@PROFILE",
        )
    return Bench(
        grader,
        host=shop.host(profile) if profile else None,
        human=read_human_labels(wanted.human) if wanted.human else (),
    )
