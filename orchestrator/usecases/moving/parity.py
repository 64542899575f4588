"""The comparison of a moved job with the recorded answers of the old model, fixed beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.domain.errors import UsageError
from orchestrator.domain.jobs.move import ParityPlan
from orchestrator.usecases.comparing.answering import asked_digest
from orchestrator.usecases.comparing.samples import read_samples, select

if TYPE_CHECKING:
    from orchestrator.domain.comparing.answerbook import Recording, Recordings
    from orchestrator.domain.jobs.job import Job

# A recording that lacks more of the rows was made on another file.
_MOST_LACKING = 0.01


def parity_plan(
    source: Job,
    recordings: Recordings,
    *,
    margin: float,
    name: str | None = None,
    test: Path | None = None,
) -> ParityPlan:
    """The comparison with the old model, as far as it can be fixed now.

    Args:
        source: the job whose model is to be replaced.
        recordings: where its answers lie.
        margin: the largest loss that does not matter, as a proportion.
        name: of the recording; the newest of that model when None.
        test: the samples; those that were recorded when None.

    Raises:
        UsageError: the recording is of another model, or was made on other rows than `test`.
    """
    found = _recording(source, recordings, name)
    file = test or _recorded_on(found)
    if found is not None and file is not None:
        _refuse_other_rows(found, file, recordings)
    return ParityPlan(
        margin=margin,
        recording=found.name if found else None,
        test=found.test if found else None,
        test_file=str(file.absolute()) if file else None,
    )


def completed(parity: ParityPlan, source: Job, recordings: Recordings) -> ParityPlan:
    """The same plan with a recording that was made since; its margin stays as it was fixed."""
    if parity.recording is not None:
        return parity
    found = _newest(source, recordings)
    if found is None:
        return parity
    file = parity.test_file or found.test_file
    return replace(parity, recording=found.name, test=found.test, test_file=file)


def _recording(source: Job, recordings: Recordings, name: str | None) -> Recording | None:
    if name is None:
        return _newest(source, recordings)
    found = recordings.get(name)
    if found.model != source.tuned_model:
        raise UsageError(
            f"The recording '{found.name}' is of {found.model}, not of {source.tuned_model}.",
            hint="ftctl recordings",
        )
    return found


def _newest(source: Job, recordings: Recordings) -> Recording | None:
    return next(
        (each for each in recordings.all() if each.finished and each.model == source.tuned_model),
        None,
    )


def _recorded_on(recording: Recording | None) -> Path | None:
    if recording is None or recording.test_file is None:
        return None
    path = Path(recording.test_file)
    return path if path.is_file() else None


def _refuse_other_rows(recording: Recording, file: Path, recordings: Recordings) -> None:
    answers = recordings.frozen(recording.name)
    samples = select(read_samples(file), []).samples
    lacking = sum(asked_digest(each.messages, each.tools) not in answers for each in samples)
    if lacking > _MOST_LACKING * len(samples):
        raise UsageError(
            f"The recording '{recording.name}' has no answer to {lacking} of {len(samples)} rows of"
            f" {file}: it was made on another file.",
            hint="give the file it was made on with --test, or another --recording",
        )
