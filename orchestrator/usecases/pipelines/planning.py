"""From a spec to its plan: all data and all arms are tried; nothing is sent, and nothing is written."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.datasets.files.mixing import mix
from orchestrator.domain.errors import (
    AnswerIsNo,
    ConfigurationError,
    DatasetInvalid,
    ExitCode,
    UsageError,
)
from orchestrator.domain.jobs.spec import MIXED
from orchestrator.grading.registry import make_grader
from orchestrator.specs.building import compare_steps, task_steps
from orchestrator.specs.document import SpecInvalid
from orchestrator.usecases.comparing.arm_specs import parse_arm
from orchestrator.usecases.comparing.evaluation import Evaluation
from orchestrator.usecases.jobs import plan as planning
from orchestrator.usecases.jobs.request_limits import FLAGS
from orchestrator.usecases.pipelines.measurements import Rehearsal, rehearse, state_of
from orchestrator.usecases.pipelines.pipeline import PipelinePlan, PlannedComparison, total, winner
from orchestrator.usecases.pipelines.sweep import expected, known_choice
from orchestrator.usecases.pipelines.task_data import (
    TaskFiles,
    check_test_rows,
    files_of,
    missing_files,
)
from orchestrator.usecases.pipelines.trainings import (
    Point,
    Training,
    make_training,
    options_of,
    points_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator.domain.errors import FtctlError
    from orchestrator.domain.jobs.pipeline import History
    from orchestrator.domain.jobs.spec import Spec, TaskSpec
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities
    from orchestrator.specs.document import Document, Mistake, Steps
    from orchestrator.usecases.jobs.intent import PreparedFile
    from orchestrator.usecases.jobs.plan import Plan
    from orchestrator.usecases.pipelines.workshop import Workshop

# What was typed for a field, and the field.
_FIELDS = {flag: name for name, flag in FLAGS.items()} | {"--wandb": "wandb", "--arm": "arms"}
_FLAG = re.compile(r"--[a-z][a-z-]*")


@contextlib.contextmanager
def plan_pipeline(document: Document, spec: Spec, workshop: Workshop) -> Iterator[PipelinePlan]:
    """Validate all data of all tasks, make every arm, and look up what was done before.

    The prepared files live while the block runs.

    Raises:
        SpecInvalid: everything that is wrong, at once; nothing was sent.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workshop.ledger.drafts())
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
    # Tasks whose test rows cannot be read.
    unread: set[str] = field(default_factory=set)
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
            choosing_usd=total(
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
                self.unread.add(task.name)
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
        shop = self.workshop.shop
        for point in points:
            try:
                request = self._request(point, files, profile, can)
                wrong = list(planning.breaches(request, can))
                for error in wrong:
                    self._wrong((*steps, *self._steps_of(error, steps)), error)
                if wrong:
                    continue
                if found:
                    plan = planning.revised(found[0][1], request, can, shop.prices)
                else:
                    plan = self._first(request, can, files)
            except (AnswerIsNo, UsageError) as error:
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
                self.workshop.shop.prices,
                self.workshop.shop.lifecycle,
                self.workshop.ledger.clock.now(),
                drafts=self.workshop.ledger.drafts,
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
            unread = own is None or not plans[task.name] or task.name in self.unread
            if not self._words(task) or unread or own is None or own.test is None:
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
                    self._wrong(self._steps_in_compare(task, error), error, own)
                    break
                found.append(rehearsal)
        return found

    def _words(self, task: TaskSpec) -> bool:
        """Arms and grader as far as they can be checked without rows; whether all is well."""
        assert task.compare is not None
        wanted = Evaluation.of(task.compare, Path())
        checks: list[Callable[[], object]] = [lambda: make_grader(wanted.named_grader or "exact")]
        roles = [*wanted.candidates, *filter(None, (wanted.source, wanted.baseline))]
        checks += [partial(parse_arm, name) for name in (*wanted.arm_names, *roles)]
        before = len(self.mistakes)
        for check in checks:
            try:
                check()
            except UsageError as error:
                self._wrong(self._steps_in_compare(task, error), error)
        return len(self.mistakes) == before

    def _steps_in_compare(self, task: TaskSpec, error: FtctlError) -> Steps:
        """The arm that an error names, else the grader, else the whole comparison."""
        assert task.compare is not None
        steps = compare_steps(self.document, task.name)
        for index, arm in enumerate(task.compare.arms):
            if f"'{arm}'" in error.message:
                return (*steps, "arms", index)
        for key in ("grader", "task", "source", "human"):
            if key in error.message and (*steps, key) in self.document.values:
                return (*steps, key)
        return steps

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
        message = _in_keys(error.message.removesuffix(" Nothing was sent."), "`{}`")
        fix = error.hint
        if fix and not fix.startswith("ftctl"):
            fix = _in_keys(fix, "{}:" if fix.startswith("--") else "{}")
        if files is not None:
            message, fix = files.named(message), files.named(fix) if fix else fix
        self.mistakes.append(self.document.mistake(steps, message, fix))

    def _refuse(self) -> None:
        if self.mistakes:
            # The same place may be met by every point of a sweep.
            unique = list(dict.fromkeys(self.mistakes))
            in_order = sorted(unique, key=lambda mistake: mistake.place or (0, 0))
            error = SpecInvalid(self.spec.path, in_order)
            if self.only_data:
                error.exit_code = ExitCode.NO
            raise error


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


def _in_keys(text: str, form: str) -> str:
    """A text about options of the command line, in the keys of a spec."""

    def key(found: re.Match[str]) -> str:
        return form.format(_FIELDS.get(found[0], found[0][2:].replace("-", "_")))

    return text if "ftctl " in text else _FLAG.sub(key, text)
