"""Bringing the jobs that an account had before ftctl into the ledger, with all that belongs to them.

Each job is committed whole: its row, its events, numbers and checkpoints in one transaction, after
its files. So a run that was killed goes on where it was, and a second run finds nothing to do.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domain import failpoints
from orchestrator.domain.archive import Purpose
from orchestrator.domain.errors import ConfigurationError, Conflict, ProviderRejected
from orchestrator.domain.ids import new_id, new_token
from orchestrator.domain.jobs.job import Hyperparameters, Job, JobOptions, JobStatus, Method, Origin
from orchestrator.domain.ledger import History
from orchestrator.usecases.jobs.fetching import Wanted
from orchestrator.usecases.jobs.polling import minded
from orchestrator.usecases.jobs.refresh import learn, metrics_of
from orchestrator.usecases.jobs.tally import Tally, alarm, beside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.domain.archive import ArchivedFile
    from orchestrator.domain.provider import Provider, RemoteJob
    from orchestrator.usecases.jobs.fetching import Fetcher
    from orchestrator.usecases.jobs.ledger import Ledger

_THREADS = 8
# Ours are half as long; a longer one was written by somebody else.
_LONGEST_TOKEN = 64


class Progress(NamedTuple):
    """How far an adoption is: jobs, and what was downloaded."""

    done: int
    total: int
    files: int
    bytes: int


@dataclass(kw_only=True)
class Adopted:
    """What an adoption found and did.

    Attributes:
        listed: jobs of the account.
        adopted: of them, those that are new in the ledger.
        ours: those that ftctl made itself.
        known: those that were adopted before.
        changed: known jobs of which the list said something new.
        statuses: the listed jobs by our word.
        unknown_words: words of the provider that ftctl does not know, and how often.
        files: what became of the files that the jobs name.
    """

    listed: int = 0
    adopted: int = 0
    ours: int = 0
    known: int = 0
    changed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    unknown_words: Counter[str] = field(default_factory=Counter)
    files: dict[str, ArchivedFile] = field(default_factory=dict)

    def count(self, taken: _Taken) -> None:
        """Remember what became of one job."""
        self.adopted += taken.how == "adopted"
        self.ours += taken.how == "ours"
        self.known += taken.how == "known"
        self.changed += taken.changed
        self.files.update({file.remote_id: file for file in taken.files})


class _Taken(NamedTuple):
    """What became of one remote job: adopted, known, or ours."""

    how: str
    files: Sequence[ArchivedFile] = ()
    changed: bool = False


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One adoption under way.

    Attributes:
        known: jobs of the ledger by their remote id.
        owners: jobs of the ledger by the token that they were sent with.
        strays: tokens of ours that the ledger does not know, by the first job that carries one.
    """

    provider: Provider
    ledger: Ledger
    fetcher: Fetcher | None
    known: Mapping[str, Job]
    owners: Mapping[str, Job]
    strays: Mapping[str, str]

    def how(self, remote: RemoteJob) -> str:
        """Whether a job is known, one of ours, or new."""
        job = self.known.get(remote.id)
        if job is not None:
            return "ours" if job.origin is Origin.FTCTL else "known"
        owner = self.owners.get(remote.token) if remote.token else None
        # One that ended unsent here is settled by nobody else: the ledger was a backup by then.
        waits = owner is not None and owner.remote_id is None and not owner.status.is_final
        return "ours" if waits else "adopted"


def adopt(
    provider: Provider,
    ledger: Ledger,
    fetcher: Fetcher | None,
    *,
    told: Callable[[Progress], None] = lambda _: None,
) -> Adopted:
    """Bring every job of an account into the ledger; what is there already stays as it is.

    Args:
        provider: the account.
        ledger: where jobs are written.
        fetcher: brings their files; None leaves them where they are.
        told: called after every job.

    Raises:
        TryLater: the provider cannot be asked; what came before is kept, and the next run goes on.
        OSError: the disk is in the way; the same.
    """
    with minded(provider, ledger):
        remotes = list(provider.list_jobs())
        run, tally = _begun(remotes, provider, ledger, fetcher), _listed(remotes)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="adopt") as pool:
            try:
                for done, taken in enumerate(pool.map(lambda each: _take(each, run), remotes), 1):
                    tally.count(taken)
                    told(_progress(done, tally, fetcher))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return tally


def survey(provider: Provider, ledger: Ledger) -> Adopted:
    """What `adopt` would find, from the list of jobs alone; nothing is written."""
    with minded(provider, ledger):
        remotes = list(provider.list_jobs())
    run, tally = _begun(remotes, provider, ledger, None), _listed(remotes)
    for remote in remotes:
        tally.count(_Taken(run.how(remote)))
    return tally


def files_of(remote: RemoteJob) -> list[Wanted]:
    """The files that a job names."""
    method = remote.method or Method.SUPERVISED
    named = [(remote.training_file, Purpose.TRAINING), (remote.validation_file, Purpose.VALIDATION)]
    named += [(file, Purpose.RESULT) for file in remote.result_files]
    return [
        Wanted(remote_id=name, purpose=purpose, method=method) for name, purpose in named if name
    ]


def chosen(told: Mapping[str, object]) -> Hyperparameters:
    """What is chosen among a provider's hyperparameters, as far as we know them."""
    known: dict[str, int | float | str] = {}
    for each in dataclasses.fields(Hyperparameters):
        value = told.get(each.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            known[each.name] = int(value) if "int" in str(each.type) else float(value)
        elif isinstance(value, str) and value != "auto" and "str" in str(each.type):
            known[each.name] = value
    return Hyperparameters(**known)  # type: ignore[arg-type]


def _listed(remotes: Sequence[RemoteJob]) -> Adopted:
    tally = Adopted(listed=len(remotes))
    for remote in remotes:
        tally.statuses[str(remote.status or remote.remote_status or "no word")] += 1
        if remote.status is None:
            tally.unknown_words[remote.remote_status] += 1
    return tally


def _begun(
    remotes: Sequence[RemoteJob], provider: Provider, ledger: Ledger, fetcher: Fetcher | None
) -> _Run:
    # A key that was renewed makes another fingerprint of the same account: its jobs are not doubled.
    mine = [
        job
        for job in ledger.jobs.at_provider(remote.id for remote in remotes)
        if job.account == provider.account or job.provider == provider.name
    ]
    owners = ledger.jobs.owners(remote.token for remote in remotes if remote.token)
    carriers = {remote.token: remote.id for remote in reversed(remotes) if remote.token}
    return _Run(
        provider=provider,
        ledger=ledger,
        fetcher=fetcher,
        known={str(job.remote_id): job for job in mine},
        owners=owners,
        strays={
            token: first
            for token, first in carriers.items()
            if token not in owners and len(token) <= _LONGEST_TOKEN
        },
    )


def _take(remote: RemoteJob, run: _Run) -> _Taken:
    job, how = run.known.get(remote.id), run.how(remote)
    if job is None and how == "ours":
        # Its intent is in doubt: `sync` settles that, with the care it needs.
        return _Taken(how)
    files = _fetched(remote, run, ours=how == "ours")
    before = job = job or _added(remote, files, run)
    if how == "known":
        job = _with_data(job, remote, files, run)
    if not job.status.is_final:
        job = _learnt(job, remote, run)
    failpoints.reach("adopt.job_kept")
    return _Taken(how, list(files.values()), changed=job.version != before.version)


def _fetched(remote: RemoteJob, run: _Run, *, ours: bool) -> dict[str, ArchivedFile]:
    """The files of a job, by remote id."""
    if run.fetcher is None:
        return {}
    # The files of our own jobs we have sent ourselves; what they left behind is new to us.
    wanted = [each for each in files_of(remote) if not ours or each.purpose is Purpose.RESULT]
    return {each.remote_id: run.fetcher.fetch(each) for each in wanted}


def _added(remote: RemoteJob, files: Mapping[str, ArchivedFile], run: _Run) -> Job:
    job = _job(remote, files, run)
    history, trouble = _history(remote, run)
    if not run.ledger.jobs.adopt(job, history, f"found at {run.provider.name}, made elsewhere"):
        return run.ledger.jobs.find(remote.id)
    if trouble:
        alarm(job, run.ledger, f"its history could not be read: {trouble}")
    owner = run.owners.get(remote.token) if remote.token else None
    if owner is not None:
        alarm(
            owner,
            run.ledger,
            f"{beside(owner, remote.id)}; it is in the ledger as {job.id}",
        )
    return job


def _job(remote: RemoteJob, files: Mapping[str, ArchivedFile], run: _Run) -> Job:
    now, status = run.ledger.clock.now(), remote.status or JobStatus.QUEUED
    # A token of ours that the ledger does not know is of a ledger that was lost; it finds its job.
    stray = remote.token is not None and run.strays.get(remote.token) == remote.id
    return Job(
        id=new_id(),
        token=str(remote.token) if stray else new_token(),
        origin=Origin.ADOPTED,
        provider=run.provider.name,
        kind=run.provider.kind,
        account=run.provider.account,
        model=remote.model,
        method=remote.method or Method.SUPERVISED,
        hyperparameters=chosen(remote.hyperparameters),
        options=JobOptions(grader=remote.grader if isinstance(remote.grader, dict) else None),
        suffix=remote.suffix[:64] if remote.suffix else None,
        seed=remote.seed,
        training=_digest(remote.training_file, files),
        validation=_digest(remote.validation_file, files),
        training_file=remote.training_file,
        validation_file=remote.validation_file,
        status=status,
        remote_id=remote.id,
        remote_status=remote.remote_status,
        tuned_model=remote.tuned_model,
        trained_tokens=remote.trained_tokens,
        error=remote.error,
        finished_at=remote.finished_at if status.is_final else None,
        estimated_finish=remote.estimated_finish,
        created_at=remote.created_at or now,
        updated_at=now,
        raw=remote.raw,
    )


def _digest(remote_id: str | None, files: Mapping[str, ArchivedFile]) -> str | None:
    file = files.get(remote_id) if remote_id else None
    return file.digest if file else None


def _history(remote: RemoteJob, run: _Run) -> tuple[History, str | None]:
    """Events, numbers and checkpoints; or why they are not to be had."""
    try:
        events = run.provider.events(remote.id)
        checkpoints = (
            () if remote.status is JobStatus.QUEUED else run.provider.checkpoints(remote.id)
        )
    except (ProviderRejected, ConfigurationError) as error:
        return History(), error.message
    return History(events, metrics_of(events), checkpoints), None


def _with_data(job: Job, remote: RemoteJob, files: Mapping[str, ArchivedFile], run: _Run) -> Job:
    """A job whose files came later than itself."""
    training = job.training or _digest(remote.training_file, files)
    validation = job.validation or _digest(remote.validation_file, files)
    if (training, validation) == (job.training, job.validation):
        return job
    now = run.ledger.clock.now()
    try:
        return run.ledger.jobs.change(
            job, now, "its files were fetched", None, training=training, validation=validation
        )
    except Conflict:
        return run.ledger.jobs.get(job.id)


def _learnt(job: Job, remote: RemoteJob, run: _Run) -> Job:
    try:
        return learn(job, remote, run.provider, run.ledger, Tally())
    except Conflict:
        return run.ledger.jobs.get(job.id)


def _progress(done: int, tally: Adopted, fetcher: Fetcher | None) -> Progress:
    if fetcher is None:
        return Progress(done, tally.listed, 0, 0)
    return Progress(done, tally.listed, fetcher.fetched, fetcher.bytes)
