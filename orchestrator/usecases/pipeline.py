"""What applying a spec would do, change and spend; nothing is sent, and nothing is written."""

from __future__ import annotations

import contextlib
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.datasets.mixing import mix
from orchestrator.domain.canonical import digest
from orchestrator.domain.errors import ConfigurationError, DatasetInvalid, ExitCode, UsageError
from orchestrator.domain.pipeline import StepState
from orchestrator.domain.spec import MIXED
from orchestrator.grading.registry import make_grader
from orchestrator.specs.building import compare_steps, task_steps
from orchestrator.specs.document import SpecInvalid
from orchestrator.usecases import plan as planning
from orchestrator.usecases.arm_specs import parse_arm
from orchestrator.usecases.dated import newest_lifecycle, newest_prices
from orchestrator.usecases.measurements import Rehearsal, evaluation, rehearse, state_of
from orchestrator.usecases.request_limits import FLAGS
from orchestrator.usecases.sweep import Choice, expected, known_choice
from orchestrator.usecases.task_data import TaskFiles, check_test_rows, files_of, missing_files
from orchestrator.usecases.trainings import Point, Training, make_training, options_of, points_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator.domain.comparison import Comparison
    from orchestrator.domain.errors import FtctlError
    from orchestrator.domain.pipeline import History
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities
    from orchestrator.domain.spec import Spec, TaskSpec
    from orchestrator.specs.document import Document, Mistake, Steps
    from orchestrator.usecases.plan import Plan
    from orchestrator.usecases.submit import PreparedFile
    from orchestrator.usecases.workshop import Workshop


@dataclass(frozen=True, kw_only=True)
class PlannedComparison:
    """A comparison, and what applying would do about it."""

    rehearsal: Rehearsal
    state: StepState
    why: Sequence[str] = ()
    result: Comparison | None = None


@dataclass(frozen=True, kw_only=True)
class PipelinePlan:
    """A spec whose data is valid and whose arms can be made, against what was done before.

    Attributes:
        trainings: by task, in the order of the file; the mixed one last.
        comparisons: by task; the mixed adapter's after the task's own.
        choices: of sweeps that were chosen already, by task.
        choosing_usd: dollars for sweeps that choose by asking; None when a price is not known.
    """

    spec: Spec
    account: str | None
    trainings: Sequence[Training]
    comparisons: Sequence[PlannedComparison]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    choosing_usd: float | None = 0.0
    warnings: Sequence[str] = ()

    @property
    def training_usd(self) -> float | None:
        """Dollars for trainings that would start; None when a price is not known."""
        return _sum(t.plan.estimate_json()["usd"] for t in self.trainings if t.state.is_to_do)

    @property
    def committed_usd(self) -> float | None:
        """Dollars for trainings that were asked for before."""
        asked = [t.job for t in self.trainings if t.job is not None]
        return _sum(job.estimate_usd for job in asked)

    @property
    def comparing_usd(self) -> float | None:
        """Dollars for comparisons that are not done."""
        return _sum(c.rehearsal.usd for c in self.comparisons if c.state is not StepState.EXISTS)

    @property
    def usd(self) -> float | None:
        """Everything that applying would spend; None when a price is not known."""
        return _sum([self.training_usd, self.choosing_usd, self.comparing_usd])

    @property
    def is_done(self) -> bool:
        """Nothing is to do."""
        states = [t.state for t in self.trainings] + [c.state for c in self.comparisons]
        return all(state is StepState.EXISTS for state in states)

    @property
    def costs_money(self) -> bool:
        """The provider bills something, or may."""
        return self.usd != 0

    def of_task(self, name: str) -> list[Training]:
        """The trainings of a task, by point."""
        return [training for training in self.trainings if training.point.task == name]


@contextlib.contextmanager
def plan_pipeline(document: Document, spec: Spec, workshop: Workshop) -> Iterator[PipelinePlan]:
    """Validate all data of all tasks, make every arm, and look up what was done before.

    The prepared files live while the block runs.

    Raises:
        SpecInvalid: everything that is wrong, at once; nothing was sent.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ftctl-spec-")))
        yield _Planner(document, spec, workshop, stack, folder).plan()


@dataclass
class _Planner:
    """Collects mistakes on the way, so that all are said at once."""

    document: Document
    spec: Spec
    workshop: Workshop
    stack: contextlib.ExitStack
    folder: Path
    mistakes: list[Mistake] = field(default_factory=list)
    only_data: bool = True
    warnings: list[str] = field(default_factory=list)

    def plan(self) -> PipelinePlan:
        """The plan.

        Raises:
            SpecInvalid: there are mistakes.
        """
        profile, can = self._profile()
        files = {task.name: self._files(task, profile) for task in self.spec.tasks}
        plans = {
            task.name: self._plans(task, files[task.name], profile, can) for task in self.spec.tasks
        }
        account = self._account()
        rehearsals = self._rehearsals(plans, files, account)
        self._refuse()
        if self.spec.mixed is not None:
            plans[MIXED] = self._mixed(plans, profile, can)
            self._refuse()
        history = self.workshop.pipelines.history(self.spec.name)
        ledger = self.workshop.ledger
        trainings = [
            make_training(point, plan, history, ledger, account)
            for each in plans.values()
            for point, plan in each
        ]
        return self._compared(account, trainings, rehearsals, history)

    def _compared(
        self,
        account: str | None,
        trainings: Sequence[Training],
        rehearsals: Sequence[Rehearsal],
        history: History,
    ) -> PipelinePlan:
        by_task: dict[str, list[Training]] = defaultdict(list)
        for training in trainings:
            by_task[training.point.task].append(training)
        choices = {
            task.name: choice
            for task in self.spec.tasks
            if task.sweep and (choice := known_choice(task, by_task[task.name], history))
        }
        comparisons = []
        for rehearsal in rehearsals:
            name = MIXED if rehearsal.is_mixed else rehearsal.task.name
            subject = winner(by_task[name], choices.get(name))
            job = subject.model if subject else None
            state, why, result = state_of(rehearsal, job, history, self.workshop)
            comparisons.append(
                PlannedComparison(rehearsal=rehearsal, state=state, why=why, result=result)
            )
        return PipelinePlan(
            spec=self.spec,
            account=account,
            trainings=trainings,
            comparisons=comparisons,
            choices=choices,
            choosing_usd=_sum(
                expected(task, by_task[task.name][0].plan, self.workshop)
                for task in self.spec.tasks
                if task.name not in choices
            ),
            warnings=tuple(dict.fromkeys(self.warnings)),
        )

    def _profile(self) -> tuple[Profile, Capabilities]:
        try:
            profile = self.workshop.profile(self.spec.provider)
            return profile, self.workshop.capabilities(profile)
        except ConfigurationError as error:
            self._wrong(("provider",), error)
            self._refuse()
            raise

    def _account(self) -> str | None:
        """Whose jobs are ours; None where no key is at hand, which planning does not need."""
        try:
            return self.workshop.ledger.provider(self.spec.provider).account
        except ConfigurationError as error:
            self.warnings.append(f"not looked up at the provider: {error.message}")
            return None

    def _files(self, task: TaskSpec, profile: Profile) -> TaskFiles | None:
        steps: Steps = (*task_steps(self.document, task.name), "data")
        missing = list(missing_files(task.data))
        for key, path in missing:
            self.only_data = False
            self.mistakes.append(self.document.mistake((*steps, key), f"There is no file {path}."))
        if missing:
            return None
        try:
            return files_of(
                task.data, self.folder / task.name, profile=profile, method=self.spec.method
            )
        except (DatasetInvalid, UsageError) as error:
            self._wrong((*steps, "file" if task.data.whole else "train"), error)
            return None

    def _plans(
        self, task: TaskSpec, files: TaskFiles | None, profile: Profile, can: Capabilities
    ) -> list[tuple[Point, Plan]]:
        if files is None:
            return []
        steps = task_steps(self.document, task.name)
        if files.test is not None:
            try:
                check_test_rows(files.test, profile, self.spec.method)
            except DatasetInvalid as error:
                self._wrong((*steps, "data", "test"), error, files)
        return self._points(points_of(task), files, steps, profile, can)

    def _points(
        self,
        points: Sequence[Point],
        files: TaskFiles,
        steps: Steps,
        profile: Profile,
        can: Capabilities,
    ) -> list[tuple[Point, Plan]]:
        """The data is read once; every point is checked and priced by itself."""
        found: list[tuple[Point, Plan]] = []
        for point in points:
            try:
                request = self._request(point, files, profile, can)
                if found:
                    plan = planning.revised(found[0][1], request, can, newest_prices())
                else:
                    plan = self._first(request, can, files)
            except (DatasetInvalid, UsageError) as error:
                self._wrong((*steps, *self._steps_of(error, steps)), error, files)
                if isinstance(error, DatasetInvalid):
                    break
            else:
                found.append((point, plan))
        return found

    def _request(
        self, point: Point, files: TaskFiles, profile: Profile, can: Capabilities
    ) -> planning.Request:
        return planning.Request(
            profile=profile,
            model=self.spec.model,
            training=files.train,
            validation=files.validation,
            method=self.spec.method,
            hyperparameters=point.hyperparameters,
            options=options_of(self.spec, point, profile, can),
            suffix=point.suffix,
            seed=point.seed,
        )

    def _first(self, request: planning.Request, can: Capabilities, files: TaskFiles) -> Plan:
        plan = self.stack.enter_context(
            planning.plan(
                request,
                can,
                newest_prices(),
                newest_lifecycle(),
                self.workshop.ledger.clock.now(),
            )
        )
        made_here = [str(path) for path in files.names]
        self.warnings.extend(files.warnings)
        self.warnings.extend(
            warning for warning in plan.warnings if not any(path in warning for path in made_here)
        )
        return _called(plan, files)

    def _mixed(
        self,
        plans: Mapping[str, Sequence[tuple[Point, Plan]]],
        profile: Profile,
        can: Capabilities,
    ) -> list[tuple[Point, Plan]]:
        mixed = self.spec.mixed
        assert mixed is not None
        firsts = [each[0][1] for each in plans.values()]
        folder = self.folder / MIXED
        folder.mkdir()
        files = {"train": [plan.training.content for plan in firsts]}
        validations = [plan.validation.content for plan in firsts if plan.validation]
        if len(validations) == len(firsts):
            files["validation"] = validations
        for name, parts in files.items():
            balance = mixed.balance and name == "train"
            mix(parts, folder / f"{name}.jsonl", balance=balance)
        made = TaskFiles(
            train=folder / "train.jsonl",
            validation=folder / "validation.jsonl" if "validation" in files else None,
            # Rows of several tasks may repeat each other; that is no news worth a warning.
            names={folder / f"{name}.jsonl": f"{self.spec.name} (mixed {name})" for name in files},
        )
        return self._points(points_of(mixed), made, ("mixed",), profile, can)

    def _rehearsals(
        self,
        plans: Mapping[str, Sequence[tuple[Point, Plan]]],
        files: Mapping[str, TaskFiles | None],
        account: str | None,
    ) -> list[Rehearsal]:
        found = []
        everything = [points[0][1].training.content for points in plans.values() if points]
        for task in self.spec.tasks:
            own = files[task.name]
            if task.compare is None:
                continue
            if own is None or own.test is None or not plans[task.name]:
                self._words(task)
                continue
            for mixed in (False, True) if self.spec.mixed else (False,):
                try:
                    rehearsal = rehearse(
                        task,
                        plans[task.name][0][1],
                        own.test,
                        self.workshop,
                        account=account,
                        seen=everything if self.spec.mixed else (),
                        mixed=mixed,
                    )
                except (DatasetInvalid, UsageError, ConfigurationError) as error:
                    self._wrong(compare_steps(self.document, task.name), error, own)
                    break
                found.append(rehearsal)
        return found

    def _words(self, task: TaskSpec) -> None:
        """Arms and grader as far as they can be checked without rows."""
        assert task.compare is not None
        wanted = evaluation(task.compare, Path(), Path(), ())
        steps = compare_steps(self.document, task.name)
        checks: list[Callable[[], object]] = [lambda: make_grader(wanted.grader_name)]
        checks += [partial(parse_arm, name) for name in wanted.arm_names]
        for check in checks:
            try:
                check()
            except UsageError as error:
                self._wrong(steps, error)

    def _steps_of(self, error: FtctlError, steps: Steps) -> Steps:
        """Where the key stands that an error speaks of."""
        if isinstance(error, DatasetInvalid):
            return ("data", "train")
        for field_name, flag in FLAGS.items():
            inner: Steps = ("hyperparameters", field_name)
            if flag in error.message:
                for where in (inner, (field_name,)):
                    if (*steps, *where) in self.document.values:
                        return where
        return ()

    def _wrong(self, steps: Steps, error: FtctlError, files: TaskFiles | None = None) -> None:
        self.only_data &= isinstance(error, DatasetInvalid)
        message = error.message.removesuffix(" Nothing was sent.")
        fix = error.hint
        for field_name, flag in sorted(FLAGS.items(), key=lambda pair: -len(pair[1])):
            message = message.replace(flag, f"`{field_name}`")
            fix = (
                fix.replace(flag, f"{field_name}:") if fix and not fix.startswith("ftctl") else fix
            )
        if files is not None:
            message, fix = files.named(message), files.named(fix) if fix else fix
        self.mistakes.append(self.document.mistake(steps, message, fix))

    def _refuse(self) -> None:
        if self.mistakes:
            # The same place may be met by every point of a sweep.
            unique = list(dict.fromkeys(self.mistakes))
            error = SpecInvalid(self.spec.path, unique)
            if self.only_data:
                error.exit_code = ExitCode.NO
            raise error


def winner(trainings: Sequence[Training], choice: Choice | None) -> Training | None:
    """The training that stands for its task; None while a sweep has not chosen."""
    if len(trainings) == 1 and trainings[0].point.number is None:
        return trainings[0]
    if choice is None:
        return None
    return next((t for t in trainings if t.step == choice.step), None)


def _called(plan: Plan, files: TaskFiles) -> Plan:
    """The plan with files that were made here called by the names that people know."""

    def known(prepared: PreparedFile) -> PreparedFile:
        source = files.named(prepared.dataset.source)
        return replace(prepared, dataset=replace(prepared.dataset, source=source))

    return replace(
        plan,
        training=known(plan.training),
        validation=known(plan.validation) if plan.validation else None,
    )


def spec_digest(document: Document) -> str:
    """Of the file's values, whatever its format."""
    return digest(document.value)


def _sum(amounts: Any) -> float | None:
    total = 0.0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total
