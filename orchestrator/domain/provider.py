"""The port every provider implements, and what crosses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.jobs.job import (
    Asked,
    JobStatus,
    Method,
    RemoteError,
)
from orchestrator.domain.jobs.recipe import RateMeaning

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

    from orchestrator.domain.chat import ChatAnswer, ChatRequest
    from orchestrator.domain.jobs.job import Checkpoint, JobEvent


class TokenCarrier(StrEnum):
    """Where our token travels, so that a lost job is found again."""

    METADATA = "metadata"  #: beside the user's own pairs
    SUFFIX = "suffix"  #: at the end of the suffix, which grows by it
    FILE = "file"  #: in the name of the training file, which is uploaded for each job


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a provider can do, as data.

    Attributes:
        methods: training methods it offers.
        metadata: jobs take metadata and echo it.
        token_in: where our token travels.
        metadata_filter: the list of jobs can be asked for one metadata value.
        idempotency_key: a repeated POST with the same key makes no second job.
        suffix_limit: longest suffix, in characters; 0 when there is none.
        min_rows: fewest examples it trains on.
        max_file_bytes: largest training file.
        parts_above: a larger file travels in parts; None where it never does.
        part_bytes: the size of a part.
        needs_deployment: a tuned model answers only after it is deployed.
        pause: jobs can be paused and resumed.
        training_tiers: tiers of the price file that training is billed at, the likeliest first.
        integrations: a job can report its run to Weights & Biases.
        checkpoint_sharing: a checkpoint can be opened to other projects.
        delete_model: a tuned model can be deleted.
        delete_job: the record of a job can be deleted.
        training_types: where and how a job may run, in the provider's words, and the tiers of each.
        rate: what its learning-rate multiplier multiplies.
        own_options: takes what only a worker of ours knows (engine, tuning, lora, ...).
        prices: the name under which the price file lists it; None when it bills nothing itself.
        model_dates: its list of models says when each of them ends.
    """

    methods: frozenset[Method] = frozenset({Method.SUPERVISED})
    metadata: bool = True
    token_in: TokenCarrier = TokenCarrier.METADATA
    metadata_filter: bool = False
    idempotency_key: bool = False
    suffix_limit: int = 64
    min_rows: int = 10
    max_file_bytes: int = 512 * 1024 * 1024
    parts_above: int | None = None
    part_bytes: int = 64 * 1024 * 1024
    needs_deployment: bool = False
    pause: bool = False
    training_tiers: tuple[str, ...] = ("standard", "global")
    integrations: bool = False
    checkpoint_sharing: bool = False
    delete_model: bool = False
    delete_job: bool = False
    training_types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rate: RateMeaning = RateMeaning.UNPUBLISHED
    own_options: bool = False
    prices: str | None = None
    model_dates: bool = False

    @property
    def free_suffix(self) -> int:
        """How many characters of a suffix are the user's own."""
        if self.token_in is not TokenCarrier.SUFFIX:
            return self.suffix_limit
        return max(0, self.suffix_limit - TOKEN_IN_SUFFIX)


# A dash, and the token: see `new_token`.
TOKEN_IN_SUFFIX = 27


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file at the provider. `processed` means a job may use it."""

    id: str
    name: str
    bytes: int | None
    status: str
    processed: bool
    failed: bool = False
    created_at: datetime | None = None
    purpose: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class JobRequest(Asked):
    """What one POST asks for."""

    training_file: str
    token: str
    validation_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class RemoteJob:
    """A job as the provider tells it.

    Attributes:
        status: our word for it; None when the provider used a word we do not know.
        remote_status: the provider's own word.
        token: the token of our intent, wherever it travelled; None when it carries none.
        hyperparameters: what the provider chose or echoed.
        method: None when the provider used a word we do not know, or none.
        grader: reinforcement: who rewards an answer, as the provider echoes it.
        raw: the answer as it came.
    """

    id: str
    status: JobStatus | None
    remote_status: str
    model: str
    token: str | None = None
    tuned_model: str | None = None
    error: RemoteError | None = None
    trained_tokens: int | None = None
    training_file: str | None = None
    validation_file: str | None = None
    method: Method | None = None
    grader: Mapping[str, Any] | None = None
    suffix: str | None = None
    seed: int | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    estimated_finish: datetime | None = None
    result_files: Sequence[str] = ()
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProviderCheck:
    """The outcome of asking a provider whether it can be used."""

    reachable: bool
    detail: str
    models: int | None = None


class Sink(Protocol):
    """Where bytes are written, and written again."""

    def write(self, data: bytes, /) -> int:
        """Take the next bytes."""
        ...

    def seek(self, offset: int, /) -> int:
        """Go back."""
        ...

    def truncate(self, size: int, /) -> int:
        """Forget what follows."""
        ...


@dataclass(frozen=True, kw_only=True)
class RemoteModel:
    """A model as the provider lists it.

    Attributes:
        serving_ends: from that day on it no longer answers; None when the provider names no day.
        training_ends: from that day on it takes no training jobs.
    """

    id: str
    serving_ends: date | None = None
    training_ends: date | None = None


class FileHost(Protocol):
    """Where training files go."""

    def upload(
        self, path: Path, name: str, told: Callable[[int, int], None] = lambda *_: None
    ) -> RemoteFile:
        """Send a file for fine-tuning.

        Args:
            path: the file.
            name: what it is called there.
            told: hears the bytes that arrived and all bytes, where the file travels in parts; it
                is handed in only for files above `Capabilities.parts_above`.

        Raises:
            ProviderRejected: a clear no. TryLater: no clear answer; files may be sent again.
        """
        ...

    def find_file(self, name: str, size: int) -> RemoteFile | None:
        """The newest file of that name and size in bytes, so that nothing is sent twice."""
        ...

    def retrieve_file(self, file_id: str) -> RemoteFile:
        """One file as it stands."""
        ...

    def file_content(self, file_id: str, sink: Sink) -> int:
        """Write a file's bytes as they come, from the start again where the line broke.

        Returns:
            How many bytes there are.

        Raises:
            RemoteNotFound: there is no such file. Forbidden: the key may not read it.
            TryLater: it did not come whole.
            Whatever the sink raises.
        """
        ...


class JobHost(Protocol):
    """Where jobs run."""

    def create_job(self, request: JobRequest) -> RemoteJob:
        """Ask for a job: exactly one POST, on a fresh connection, never repeated.

        Raises:
            ProviderRejected, CredentialsRefused: a clear no; there is no job.
            ProviderUnreachable: surely not sent; there is no job.
            OutcomeUnknown: anything else; there may be a job.
        """
        ...

    def retrieve_job(self, remote_id: str) -> RemoteJob:
        """One job as it stands."""
        ...

    def list_jobs(self, token: str | None = None) -> Iterator[RemoteJob]:
        """Every job, newest first as far as the provider sorts; every page, or an error.

        Args:
            token: only jobs that carry it, where the provider can filter; never fewer than those.
        """
        ...

    def events(self, remote_id: str, known: Container[str] = ()) -> Sequence[JobEvent]:
        """Every event of a job, oldest first.

        Args:
            remote_id: the job.
            known: keys of events that need not be told again; more may be told, never fewer.
        """
        ...

    def checkpoints(self, remote_id: str) -> Sequence[Checkpoint]:
        """Every checkpoint of a job, oldest first."""
        ...

    def cancel_job(self, remote_id: str) -> RemoteJob:
        """Ask the provider to stop; safe to repeat."""
        ...

    def pause_job(self, remote_id: str) -> RemoteJob:
        """Ask the provider to hold the job; safe to repeat."""
        ...

    def resume_job(self, remote_id: str) -> RemoteJob:
        """Ask the provider to go on; safe to repeat."""
        ...


class ChatHost(Protocol):
    """What answers."""

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """One answer. Repeats what is safe to repeat."""
        ...


class Provider(FileHost, JobHost, ChatHost, Protocol):
    """A host that trains.

    Attributes:
        name: the profile's name.
        kind: openai | azure | peft | simulator | what a plug-in registers.
        account: fingerprint of base URL and account; the same for POST and list, never the key.
        capabilities: what it can do.
        status_words: the provider's words and ours; a word that is not in it changes nothing.
    """

    name: str
    kind: str
    account: str
    capabilities: Capabilities
    status_words: Mapping[str, JobStatus]

    def check(self) -> ProviderCheck:
        """Ask the cheapest question that needs the key."""
        ...

    def models(self) -> Sequence[RemoteModel]:
        """Every model of the account, in one quick request that is not repeated.

        Raises:
            TryLater: no answer, or none that is a list.
        """
        ...

    def close(self) -> None:
        """Give back connections, and stop what was started."""
        ...
