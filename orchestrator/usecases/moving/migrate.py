"""Making a job anew at another provider: its data, its recipe, and the proof that is to follow.

The new job goes through the ordinary submission: the same validation, the same price question, the
same promise. The move is committed together with the intent, and with it the margin of the
comparison, before there is an answer of the new model.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain.errors import DatasetInvalid, UsageError
from orchestrator.domain.jobs.job import JobOptions, JobStatus
from orchestrator.domain.jobs.move import Move
from orchestrator.domain.jobs.recipe import (
    How,
    Line,
    Target,
    Translation,
    lines_json,
    recipe_json,
    recipe_of,
    translate,
)
from orchestrator.usecases.comparing.samples import read_samples, said
from orchestrator.usecases.jobs import plan as planning
from orchestrator.usecases.moving.carrying import carry
from orchestrator.usecases.moving.parity import parity_plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from orchestrator.domain.comparing.answerbook import Recordings
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.jobs.lifecycle import Lifecycle
    from orchestrator.domain.jobs.move import Moves, ParityPlan
    from orchestrator.domain.jobs.recipe import Recipe
    from orchestrator.domain.ledger import DatasetStore, JobStore
    from orchestrator.domain.money.prices import PriceBook
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities
    from orchestrator.usecases.jobs.intent import PreparedFile
    from orchestrator.usecases.jobs.ledger import Drafts
    from orchestrator.usecases.moving.carrying import Carried

_WITHOUT_MODEL = frozenset({JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.REJECTED})


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What was typed.

    Attributes:
        source: the job whose model is to be replaced.
        test: rows that both models are measured on, and that the new one is not trained on.
        recording: the old model's frozen answers; the newest of that model when None.
        margin: the largest loss that does not matter, as a proportion.
        allow_loss: leave out rows that the target cannot hold.
    """

    source: Job
    profile: Profile
    model: str
    test: Path | None = None
    recording: str | None = None
    margin: float = 0.03
    allow_loss: bool = False


@dataclass(frozen=True, kw_only=True)
class Migration:
    """A move that is ready to be submitted.

    Attributes:
        lines: what became of every setting and of the data.
        plan: the submission, validated and priced.
        parity: the comparison, fixed.
    """

    wish: Wish
    recipe: Recipe
    lines: Sequence[Line]
    plan: planning.Plan
    parity: ParityPlan

    def move(self, job: Job) -> Move:
        """The move that a new job is part of."""
        return Move(
            job_id=job.id,
            source_id=self.wish.source.id,
            recipe={"from": recipe_json(self.recipe), "lines": lines_json(self.lines)},
            parity=self.parity,
            created_at=job.created_at,
        )


def earlier(wish: Wish, jobs: JobStore, moves: Moves) -> Job | None:
    """The job of the same move that was asked for before, unless it ended without a model."""
    for move in moves.from_job(wish.source.id):
        job = jobs.get(move.job_id)
        same = (job.provider, job.model) == (wish.profile.name, wish.model)
        if same and job.status not in _WITHOUT_MODEL:
            return job
    return None


@contextmanager
def prepare(
    wish: Wish,
    *,
    meaning: Capabilities,
    capabilities: Capabilities,
    datasets: DatasetStore,
    recordings: Recordings,
    prices: PriceBook,
    lifecycle: Lifecycle,
    now: datetime,
    drafts: Drafts,
) -> Iterator[Migration]:
    """Translate, carry the data over, validate and price; the files live while the block runs.

    Args:
        wish: what was typed.
        meaning: what the old provider can do, by which its recipe is read.
        capabilities: what the new one can do.
        datasets: where the data lies.
        recordings: where the old model's answers lie.
        prices: of training.
        lifecycle: of models.
        now: the time.
        drafts: where the files live.

    Raises:
        UsageError: the data is not here, or the target cannot do it.
        DatasetInvalid: the target cannot hold the data, and no loss was allowed.
    """
    source = wish.source
    original = _present(datasets, source.data)
    parity = parity_plan(
        source, recordings, margin=wish.margin, name=wish.recording, test=wish.test
    )
    held_out = (
        {said(each) for each in read_samples(Path(parity.test_file))}
        if (parity.test_file)
        else set()
    )
    recipe = recipe_of(source, meaning.rate)
    target = Target(
        profile=wish.profile.name,
        model=wish.model,
        meaning=capabilities.rate,
        suffix_limit=capabilities.suffix_limit,
    )
    translation = translate(recipe, target)
    with drafts() as folder:
        training = _carry(wish, original, folder, held_out)
        validation = _validation(wish, datasets, folder, held_out)
        request = _request(wish, translation, training, validation)
        with planning.plan(request, capabilities, prices, lifecycle, now, drafts=drafts) as plan:
            yield Migration(
                wish=wish,
                recipe=recipe,
                lines=[
                    *translation.lines,
                    *_data_lines("training data", source.training, training),
                    *_data_lines("validation data", source.validation, validation),
                ],
                plan=_named(plan, source, {str(training.path): str(original)}),
                parity=parity,
            )


def _present(datasets: DatasetStore, digest: str) -> Path:
    path = datasets.path(digest)
    if not path.is_file():
        raise UsageError(
            f"The bytes of dataset {digest[:12]} are no longer in the store.",
            hint="ftctl dataset list",
        )
    return path


def _carry(wish: Wish, path: Path, folder: Path, held_out: set[str]) -> Carried:
    carried = carry(
        path,
        folder,
        kind=wish.profile.kind,
        method=wish.source.method,
        held_out=held_out,
        allow_loss=wish.allow_loss,
    )
    if carried.kept == 0:
        raise DatasetInvalid(
            "No row of the training data is left: all of them are in the test set.",
            hint="give rows with --test that the old model was not trained on",
        )
    return carried


def _validation(
    wish: Wish, datasets: DatasetStore, folder: Path, held_out: set[str]
) -> Carried | None:
    digest = wish.source.validation
    if digest is None or not datasets.path(digest).is_file():
        return None
    return carry(
        datasets.path(digest),
        folder,
        kind=wish.profile.kind,
        method=wish.source.method,
        held_out=held_out,
        allow_loss=wish.allow_loss,
    )


def _request(
    wish: Wish, translation: Translation, training: Carried, validation: Carried | None
) -> planning.Request:
    return planning.Request(
        profile=wish.profile,
        model=wish.model,
        training=training.path,
        validation=validation.path if validation and validation.kept else None,
        method=wish.source.method,
        hyperparameters=translation.hyperparameters,
        options=JobOptions(grader=wish.source.options.grader),
        suffix=translation.suffix,
        seed=translation.seed,
    )


def _data_lines(name: str, digest: str | None, carried: Carried | None) -> list[Line]:
    if digest is None:
        return []
    if carried is None:
        why = "its bytes are not in the store"
        return [Line(name, digest[:12], None, How.LEFT, why)]
    old, new = _rows(carried.rows), _rows(carried.kept)
    lines = []
    if carried.left_out:
        lines.append(Line(name, old, new, How.TRANSLATED, "without what is left out"))
    lines += [
        Line(name, _rows(count), None, How.TRANSLATED, f"left out: {why}")
        for why, count in carried.left_out.items()
    ]
    lines += [Line(name, old, new, How.TRANSLATED, change) for change in carried.changes]
    return lines or [Line(name, old, new, How.KEPT, f"byte for byte, {digest[:12]}")]


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _named(plan: planning.Plan, source: Job, origins: Mapping[str, str]) -> planning.Plan:
    """The plan with files that are called after where they came from, not after a draft.

    Args:
        plan: whose warnings name files, too.
        source: the job they belong to.
        origins: draft → the file in the store that it was made from.
    """

    def called(prepared: PreparedFile, what: str) -> PreparedFile:
        name = f"{what} data of job {source.id}"
        return replace(prepared, dataset=replace(prepared.dataset, source=name))

    warnings = list(plan.warnings)
    for draft, origin in origins.items():
        warnings = [warning.replace(draft, origin) for warning in warnings]
    return replace(
        plan,
        warnings=tuple(warnings),
        training=called(plan.training, "training"),
        validation=called(plan.validation, "validation") if plan.validation else None,
    )
