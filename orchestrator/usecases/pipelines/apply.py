"""Do what a spec says, through the use cases that single commands use; what is done stays done.

Every step is found again by what it is made of, so that applying twice does nothing the second time,
and a run that died anywhere goes on where it was. A task that fails does not stop the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.domain import failpoints
from orchestrator.domain.errors import (
    AnswerIsNo,
    ConfigurationError,
    Conflict,
    DatasetInvalid,
    FtctlError,
    JobFailed,
    OutcomeUnknown,
    TryLater,
    UsageError,
)
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.jobs.pipeline import Step, StepState
from orchestrator.domain.jobs.spec import MIXED
from orchestrator.usecases.comparing.evaluation import Ready, make_ready
from orchestrator.usecases.deciding import report as reporting
from orchestrator.usecases.jobs.lifetimes import refuse_closed
from orchestrator.usecases.jobs.submit import record, submit
from orchestrator.usecases.jobs.sync import sync_job
from orchestrator.usecases.pipelines.measurements import adopted, finished, limited
from orchestrator.usecases.pipelines.pipeline import winner, worth
from orchestrator.usecases.pipelines.summary import Measured, Outcome, summarise
from orchestrator.usecases.pipelines.sweep import Choice, choose, known_choice
from orchestrator.usecases.pipelines.trainings import DEAD, Training, with_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.domain.comparing.comparison import Comparison
    from orchestrator.domain.deciding.report import Report
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.spec import Spec
    from orchestrator.domain.provider import Provider
    from orchestrator.usecases.jobs.intent import Intent
    from orchestrator.usecases.pipelines.measurements import Rehearsal
    from orchestrator.usecases.pipelines.pipeline import PipelinePlan
    from orchestrator.usecases.pipelines.summary import Summary
    from orchestrator.usecases.pipelines.workshop import Workshop

# What one task may run into without stopping the others.
_ITS_OWN = (AnswerIsNo, ConfigurationError, TryLater, OutcomeUnknown, UsageError, Conflict)


@dataclass(frozen=True, kw_only=True)
class How:
    """How a spec is applied.

    Attributes:
        wait: stay until every job has ended; else do what can be done now.
        retry_failed: ask once more for trainings that failed.
        max_cost: dollars; the lower of this and the file's own limit holds.
        allow_unpriced: submit and ask although nobody knows what it costs; what has a price keeps
            to the limits.
        source: digest of the file's values, to be remembered.
    """

    wait: bool = True
    retry_failed: bool = False
    max_cost: float | None = None
    allow_unpriced: bool = False
    source: str = ""


def apply_pipeline(plan: PipelinePlan, workshop: Workshop, how: How) -> Summary:
    """Submit, follow, choose, compare and report whatever is not done yet.

    Raises:
        UsageError: the budget does not allow it; nothing was sent.
        TryLater: another process applies a spec of the same name.
    """
    with workshop.ledger.claim(f"apply-{plan.spec.name}") as ours:
        if not ours:
            raise TryLater(f"'{plan.spec.name}' is being applied by another process.")
        return _Application(plan, workshop, how).run()


@dataclass
class _Application:
    plan: PipelinePlan
    workshop: Workshop
    how: How
    trainings: dict[str, Training] = field(default_factory=dict)
    errors: dict[str, FtctlError] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    spent: float = 0.0
    down: FtctlError | None = None

    @property
    def spec(self) -> Spec:
        return self.plan.spec

    def run(self) -> Summary:
        self._refuse_dear()
        now = self.workshop.ledger.clock.now()
        self.workshop.pipelines.open(self.spec.name, str(self.spec.path), self.how.source, now)
        failpoints.reach("apply.begun")
        for training in self.plan.trainings:
            self.trainings[training.step] = self._guarded(training.step, self._started, training)
        for step, training in list(self.trainings.items()):
            if step not in self.errors:
                self.trainings[step] = self._guarded(step, self._followed, training)
        for task in self.spec.tasks:
            if task.sweep is not None:
                self._chosen(task.name)
        for planned in self.plan.comparisons:
            self._measured(planned.rehearsal)
        return self._summary()

    def _guarded(
        self, step: str, act: Callable[[Training], Training], training: Training
    ) -> Training:
        try:
            return act(training)
        except _ITS_OWN as error:
            if isinstance(error, TryLater | ConfigurationError):
                # The next training would meet the same wall.
                self.down = error
            self.errors[step] = error
            self.workshop.ledger.say(f"{step}: {error.message}")
            return self.trainings.get(step, training)

    def _refuse_dear(self) -> None:
        limit, plan = self._limit(), self.plan
        allowed = self.how.allow_unpriced
        if limit is None or plan.fits(limit, allow_unpriced=allowed):
            return
        if allowed:
            raise UsageError(
                f"What has a price here costs more than the budget of ${limit:g}; nothing was sent.",
                hint="raise budget.max_cost, or take fewer rows, points or tasks",
            )
        if plan.usd is None or plan.spent_usd is None:
            raise UsageError(
                "The budget cannot hold: something here has no price in the price file.",
                hint="--allow-unpriced, or leave out what has no price (ftctl plan says which)",
            )
        before = f", after ${plan.spent_usd:.2f} before" if plan.spent_usd else ""
        raise UsageError(
            f"This would cost about ${plan.usd:.2f}{before}, more than the budget of ${limit:g}; "
            "nothing was sent.",
            hint="raise budget.max_cost, or take fewer rows, points or tasks",
        )

    def _limit(self) -> float | None:
        given = [each for each in (self.spec.max_cost, self.how.max_cost) if each is not None]
        return min(given) if given else None

    def _left(self) -> float | None:
        """Dollars that comparisons may still cost."""
        limit = self._limit()
        if limit is None:
            return None
        jobs = [t.job for t in self.trainings.values() if t.job is not None]
        return limit - sum(job.estimate_usd or 0.0 for job in jobs) - self.spent

    def _started(self, training: Training) -> Training:
        """The training with a job: the one there is, or a new one whose intent is committed."""
        failed = training.state is StepState.FAILED and self.how.retry_failed
        if training.job is not None and not failed:
            self._bind(training, training.job)
            return training
        if self.down is not None:
            raise self.down
        ledger = self.workshop.ledger
        provider = ledger.provider(self.spec.provider)
        if not self.how.retry_failed:
            self._refuse_closed(provider)
        job = record(self._intent(training, provider), ledger, again=True)
        failpoints.reach("apply.recorded")
        self._bind(training, job)
        failpoints.reach("apply.bound")
        ledger.say(f"{training.step}: job {job.id}")
        self.trainings[training.step] = training = with_job(training, job)
        with ledger.claim(job.id) as ours:
            if ours:
                training = with_job(training, submit(job, provider, ledger))
        failpoints.reach("apply.submitted")
        return training

    def _intent(self, training: Training, provider: Provider) -> Intent:
        return training.plan.intent(provider.account, allow_unpriced=self.how.allow_unpriced)

    def _refuse_closed(self, provider: Provider) -> None:
        """Ask nothing of an account that the provider has closed."""
        ledger = self.workshop.ledger
        try:
            refuse_closed(
                self.workshop.shop.lifecycle,
                ledger.jobs,
                kind=provider.kind,
                account=provider.account,
                today=ledger.clock.now().date(),
            )
        except AnswerIsNo as error:
            hint = (error.hint or "").replace("--again", "--retry-failed")
            raise AnswerIsNo(error.message, hint=hint) from error

    def _bind(self, training: Training, job: Job) -> None:
        known = self.workshop.pipelines.history(self.spec.name)
        step = known.latest(training.step)
        if step is not None and (step.identity, step.job_id) == (training.facts.identity, job.id):
            return
        self.workshop.pipelines.bind(
            self.spec.name,
            Step(
                name=training.step,
                identity=training.facts.identity,
                facts=training.facts.as_json(),
                job_id=job.id,
                updated_at=self.workshop.ledger.clock.now(),
            ),
        )

    def _followed(self, training: Training) -> Training:
        """The training with its job at its end, or as it stands when nobody waits."""
        job = training.job
        assert job is not None
        if job.status.is_final or job.status is JobStatus.NEEDS_REVIEW:
            return with_job(training, job)
        provider: Provider = self.workshop.ledger.provider(job.provider)
        if self.how.wait:
            job = self.workshop.wait(job, provider)
        else:
            job = self._looked_at(job, provider)
        failpoints.reach("apply.followed")
        return with_job(training, job)

    def _looked_at(self, job: Job, provider: Provider) -> Job:
        try:
            return sync_job(job, provider, self.workshop.ledger)
        except Conflict:
            # Cron was faster.
            return self.workshop.ledger.jobs.get(job.id)

    def _of_task(self, name: str) -> list[Training]:
        return [t for t in self.trainings.values() if t.point.task == name]

    def _chosen(self, name: str) -> None:
        """The winner of a sweep, once every point has ended."""
        task = next(task for task in self.spec.tasks if task.name == name)
        points = self._of_task(name)
        if any(t.job is None or not t.job.status.is_final for t in points):
            return
        # Not the plan's: points may have ended since.
        known = known_choice(task, points, self.workshop.pipelines.history(self.spec.name))
        if known is not None:
            self.choices[name] = known
            return
        try:
            choice = choose(
                self.spec.name,
                task,
                points,
                self.workshop,
                self._left(),
                allow_unpriced=self.how.allow_unpriced,
            )
        except _ITS_OWN as error:
            self.errors[f"choose:{name}"] = error
            return
        self.spent += choice.usd or 0.0
        self.choices[name] = choice

    def _measured(self, rehearsal: Rehearsal) -> None:
        name = MIXED if rehearsal.is_mixed else rehearsal.task.name
        subject = winner(self._of_task(name), self.choices.get(name))
        job = subject.model if subject else None
        if job is None:
            return
        try:
            self.measured[rehearsal.step] = self._compared(rehearsal, job)
        except _ITS_OWN as error:
            self.errors[rehearsal.step] = error
            self.workshop.ledger.say(f"{rehearsal.step}: {error.message}")

    def _compared(self, rehearsal: Rehearsal, job: Job) -> Measured:
        """The comparison: the one there is, or one that is begun or taken up now."""
        history = self.workshop.pipelines.history(self.spec.name)
        known = history.find(rehearsal.step, rehearsal.identity_for(job))
        earlier = known.comparison_id if known else None
        found = finished(earlier, job, self.workshop) if earlier else None
        if found is None and earlier is None:
            found = adopted(rehearsal, job, self.workshop)
            if found is not None:
                self._begun(rehearsal, job, found.id)
        if found is None:
            found = self._asked(rehearsal, job, earlier)
            failpoints.reach("apply.compared")
        self.spent += worth(found)
        folder = self.spec.out / rehearsal.step.removeprefix("compare:")
        if not all((folder / f"report.{kind}").is_file() for kind in reporting.FORMATS):
            reporting.write_report(self._report(job, found), folder, self.workshop.shop.comparisons)
            failpoints.reach("apply.reported")
        return Measured(comparison=found, folder=folder)

    def _asked(self, rehearsal: Rehearsal, job: Job, earlier: str | None) -> Comparison:
        workshop = self.workshop
        workshop.ledger.say(
            f"{rehearsal.step}: {rehearsal.rows} samples x {', '.join(rehearsal.arms)}"
        )
        allowed, shop = self.how.allow_unpriced, workshop.shop
        # A limit cannot be held over what nobody knows; then the leave to ask is all there is.
        dollars = None if allowed and rehearsal.usd is None else self._left()
        wanted = limited(rehearsal.wanted, dollars, allow_unpriced=allowed)
        with shop.till(job, wanted, f"{self.spec.name} {rehearsal.step}") as till:
            ready = make_ready(job, wanted, shop, till, workshop.show)
            if ready.chosen.digest != rehearsal.test_digest:
                raise DatasetInvalid(
                    f"{wanted.test} changed since it was checked.",
                    hint="run the same command again",
                )
            if till.limit is not None and earlier is not None:
                till.limit = max(0.0, till.limit - _paid(ready, earlier))
            return ready.run(lambda identity: self._begun(rehearsal, job, identity))

    def _begun(self, rehearsal: Rehearsal, job: Job, identity: str) -> None:
        """Bind a comparison to its step before its first call."""
        failpoints.reach("apply.comparing")
        self.workshop.pipelines.bind(
            self.spec.name,
            Step(
                name=rehearsal.step,
                identity=rehearsal.identity_for(job),
                facts=rehearsal.facts_for(job),
                job_id=job.id,
                comparison_id=identity,
                updated_at=self.workshop.ledger.clock.now(),
            ),
        )
        failpoints.reach("apply.comparison_bound")

    def _report(self, job: Job, comparison: Comparison) -> Report:
        ledger = self.workshop.ledger
        return reporting.make_report(
            job,
            jobs=ledger.jobs,
            datasets=ledger.datasets,
            comparison=comparison,
            now=ledger.clock.now(),
            costs=self.workshop.costs,
            version=self.workshop.version,
            deployments=self.workshop.deployments(job.id),
        )

    def _summary(self) -> Summary:
        for step, training in self.trainings.items():
            job = training.job
            if job is not None and step not in self.errors and job.status in DEAD:
                why = f": {job.error.message}" if job.error else ""
                self.errors[step] = JobFailed(
                    f"Job {job.id} ended {job.status}{why}",
                    hint="ftctl apply FILE --retry-failed asks once more",
                )
        return summarise(
            Outcome(
                plan=self.plan,
                trainings=list(self.trainings.values()),
                choices=self.choices,
                measured=self.measured,
                errors=self.errors,
            ),
            self.workshop.shop.comparisons,
        )


def _paid(ready: Ready, comparison: str) -> float:
    """What the answers cost that a run that died had kept."""
    till = ready.desk.till
    total = 0.0
    for arm in ready.arms:
        names: Sequence[str] = [
            arm.name,
            *(f"{arm.name}~{turn + 1}" for turn in range(1, ready.plan.repeats)),
        ]
        for name in names:
            for answer in ready.store.answers(comparison, name).values():
                used = answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens
                total += till.price(arm, *used) or 0.0
    return total
