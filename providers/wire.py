"""A provider that speaks OpenAI's fine-tuning dialect. What differs between hosts is data."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import (
    ProviderRejected,
    ProviderUnreachable,
    RemoteNotFound,
    TryLater,
)
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.domain.provider import ProviderCheck, TokenCarrier
from providers import answers, bodies
from providers.border import Border
from providers.connection import Address, Connection, fingerprint
from providers.dialect import adjusted
from providers.paging import every_item, has_more, items
from providers.retry import Retry
from providers.shelves import PAGE, Shelves
from providers.uploads import PartedUpload

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from pathlib import Path

    from openai import OpenAI
    from openai._legacy_response import LegacyAPIResponse

    from orchestrator.domain.chat import ChatAnswer, ChatRequest
    from orchestrator.domain.jobs.job import Checkpoint, JobEvent
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import (
        JobRequest,
        Provider,
        RemoteFile,
        RemoteJob,
        RemoteModel,
        Sink,
    )
    from providers.connection import Transport
    from providers.dialect import Dialect

    Raw = Mapping[str, Any]
    Told = Callable[[int, int], None]

# The list of models is read on the side: it must not hold up what it is read beside.
MODELS_TIMEOUT = 10.0
# Where ids of events change between calls, a second page cannot be asked for: one long one is.
LONG_PAGE = 1000


class WireProvider(Shelves):
    """Implements the port over HTTP. Methods may be called from several threads."""

    def __init__(
        self,
        dialect: Dialect,
        profile: Profile,
        where: Address,
        *,
        account: str | None = None,
        transport: Transport | None = None,
        retry: Retry | None = None,
    ) -> None:
        """Connect nothing yet.

        Args:
            dialect: what sets the host apart.
            profile: for its name and options.
            where: checked address and key.
            account: fingerprint; of kind, URL and key when None.
            transport: makes what carries requests; sockets when None.
            retry: how to repeat what is safe to repeat.
        """
        self.name = profile.name
        self.kind = dialect.kind
        self.account = account or fingerprint(dialect.kind, where)
        self.capabilities = adjusted(dialect.capabilities, profile)
        self.status_words = dialect.status_words
        self.dialect = dialect
        self._connection = Connection(where, transport)
        self._retry = retry or Retry()
        self._border = Border(
            name=profile.name,
            key=where.key,
            key_env=profile.api_key_env,
            explain=dialect.explain,
            more_secrets=where.more_secrets,
        )
        self._home = profile.home
        self._names: dict[str, str] = {}

    def check(self) -> ProviderCheck:
        """List the models. A host that cannot be asked is an outcome; a refused key raises."""
        try:
            raw = self._ask(lambda client: client.models.with_raw_response.list())
        except TryLater as error:
            return ProviderCheck(reachable=False, detail=error.message)
        models = raw.get("data")
        count = len(models) if isinstance(models, list) else None
        return ProviderCheck(
            reachable=True, detail=f"{self._connection.where.url} answers", models=count
        )

    def upload(self, path: Path, name: str, told: Told = lambda *_: None) -> RemoteFile:
        """Send a file for fine-tuning, in parts when it is large; what is unclear is repeated."""
        above = self.capabilities.parts_above
        if above is not None and path.stat().st_size > above:
            parted = PartedUpload(
                host=self,
                folder=self._home.absolute() / "uploads",
                account=self.account,
                part_bytes=self.capabilities.part_bytes,
            )
            return parted.send(path, name, told)

        def send(client: OpenAI) -> LegacyAPIResponse[Any]:
            with path.open("rb") as content:
                return client.files.with_raw_response.create(
                    file=(name, content, "application/jsonl"), purpose="fine-tune"
                )

        return self._file(self._ask(send))

    def find_file(self, name: str, size: int) -> RemoteFile | None:
        """The newest usable file of that name; one whose size is not told counts as the same."""
        same = [
            file
            for file in map(self._file, self._files("fine-tune"))
            if file.name == name and file.bytes in {size, None} and not file.failed
        ]
        return max(
            same,
            key=lambda file: file.created_at.timestamp() if file.created_at else 0,
            default=None,
        )

    def retrieve_file(self, file_id: str) -> RemoteFile:
        """One file as it stands."""
        return self._file(
            self._ask(lambda client: client.files.with_raw_response.retrieve(file_id))
        )

    def file_content(self, file_id: str, sink: Sink) -> int:
        """A file's bytes, as they come; from the start again where the line broke."""

        def fetch() -> int:
            sink.seek(0)
            sink.truncate(0)
            return self._border.pour(
                lambda: self._connection.client().files.with_streaming_response.content(file_id),
                sink,
            )

        return self._retry(fetch)

    def create_job(self, request: JobRequest) -> RemoteJob:
        """Exactly one POST on a connection of its own; see the port for what errors mean."""
        body = self._job_body(request)
        with self._connection.fresh() as client:
            raw = self._border.answer_to_the_post(
                lambda: client.fine_tuning.jobs.with_raw_response.create(**body)
            )
        try:
            job = answers.remote_job(raw, self.status_words, self.capabilities.token_in)
        except ProviderUnreachable as error:
            raise self._border.in_doubt("its answer names no job") from error
        if job.token not in {None, request.token}:
            # From a cache on the way, perhaps: it says nothing of this request.
            raise self._border.in_doubt(f"it answered with another job, {job.id}")
        # Nothing more is asked: the answer to this POST is known to be for this token.
        by_file = self.capabilities.token_in is TokenCarrier.FILE
        return replace(job, token=request.token) if by_file else job

    def retrieve_job(self, remote_id: str) -> RemoteJob:
        """One job as it stands."""
        return self._job(
            self._ask(lambda client: client.fine_tuning.jobs.with_raw_response.retrieve(remote_id))
        )

    def list_jobs(self, token: str | None = None) -> Iterator[RemoteJob]:
        """Every job, page by page. A filter that finds nothing is not believed: all are listed."""
        found = []
        if token and self.capabilities.metadata_filter:
            with contextlib.suppress(ProviderRejected):
                listed = self._jobs({answers.TOKEN_KEY: token})
                found = [job for job in listed if job.token == token]
        yield from found or self._jobs(None)

    def events(self, remote_id: str, known: Container[str] = ()) -> Sequence[JobEvent]:
        """Every event, oldest first. Of a host that cannot turn the page, the last thousand."""
        try:
            found = self._new_events(remote_id, known)
        except ProviderRejected as error:
            if error.status not in {400, 404} or not self._has_events(remote_id):
                raise
            page = self._events_page(remote_id, None, LONG_PAGE)
            found = [
                event for event in items(page, self._list("events")) if isinstance(event, dict)
            ]
        return answers.job_events(found, newest_first=self.dialect.newest_event_first)

    def checkpoints(self, remote_id: str) -> Sequence[Checkpoint]:
        """Every checkpoint, by step; none from a host that does not offer them."""

        def page(after: str | None) -> Raw:
            return self._ask(
                lambda client: client.fine_tuning.jobs.checkpoints.with_raw_response.list(
                    remote_id, limit=PAGE, **_after(after)
                )
            )

        try:
            raw = list(every_item(page, what=self._list("checkpoints"), limit=PAGE))
        except RemoteNotFound:
            # Some hosts of this dialect have no such route. Whether the job itself is known is
            # the business of `retrieve_job`.
            return []
        return sorted(
            map(answers.checkpoint, raw), key=lambda point: (point.step, point.created_at)
        )

    def cancel_job(self, remote_id: str) -> RemoteJob:
        """Ask the provider to stop. A second request for the same is answered as the first."""
        return self._turn(
            remote_id,
            lambda client: client.fine_tuning.jobs.with_raw_response.cancel(remote_id),
            JobStatus.CANCELLED,
        )

    def pause_job(self, remote_id: str) -> RemoteJob:
        """Ask the provider to hold the job."""
        return self._turn(
            remote_id,
            lambda client: client.fine_tuning.jobs.with_raw_response.pause(remote_id),
            JobStatus.PAUSED,
        )

    def resume_job(self, remote_id: str) -> RemoteJob:
        """Ask the provider to go on."""
        return self._turn(
            remote_id,
            lambda client: client.fine_tuning.jobs.with_raw_response.resume(remote_id),
            JobStatus.RUNNING,
            JobStatus.QUEUED,
        )

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """One answer; latency is of the attempt that brought it."""
        body = self._chat_body(request)
        seconds = 0.0

        def send(client: OpenAI) -> LegacyAPIResponse[Any]:
            nonlocal seconds
            started = time.perf_counter()
            at = self._chat_client(client, request)
            response = at.chat.completions.with_raw_response.create(**body)
            seconds = time.perf_counter() - started
            return response

        return answers.chat_answer(self._ask(send), seconds)

    def models(self) -> Sequence[RemoteModel]:
        """Every model of the account, in one request that is not repeated."""
        timeout = min(self._connection.where.timeout, MODELS_TIMEOUT)
        raw = self._border.answer(
            lambda: self._client().models.with_raw_response.list(timeout=timeout)
        )
        return answers.remote_models(raw)

    def close(self) -> None:
        """Give back connections."""
        self._connection.close()

    def _move(self, where: Address) -> None:
        """Go on at another address, as a worker that was started again has one."""
        self._connection.move(where)
        self._border = replace(self._border, key=where.key)

    def _ask(self, call: Callable[[OpenAI], LegacyAPIResponse[Any]]) -> dict[str, Any]:
        """Everything that may be repeated goes through here."""
        return self._retry(lambda: self._border.answer(lambda: call(self._client())))

    def _client(self) -> OpenAI:
        """Who sends requests of this thread; every request goes through here but the one POST."""
        return self._connection.client()

    def _job_body(self, request: JobRequest) -> dict[str, Any]:
        return bodies.job(request, self.capabilities)

    def _chat_body(self, request: ChatRequest) -> dict[str, Any]:
        return bodies.chat(request, self.dialect.max_tokens)

    def _chat_client(self, client: OpenAI, _: ChatRequest) -> OpenAI:
        """Where answers are asked for."""
        return client

    def _job(self, raw: Raw) -> RemoteJob:
        job = answers.remote_job(raw, self.status_words, self.capabilities.token_in)
        if self.capabilities.token_in is not TokenCarrier.FILE or not job.training_file:
            return job
        return replace(job, token=answers.token_in_name(self._name_of(job.training_file)))

    def _name_of(self, file_id: str) -> str:
        """The name of a file; none when it was deleted. A name never changes."""
        if file_id not in self._names:
            try:
                self._names[file_id] = self.retrieve_file(file_id).name
            except RemoteNotFound:
                self._names[file_id] = ""
        return self._names[file_id]

    def _file(self, raw: Raw) -> RemoteFile:
        return answers.remote_file(raw, self.dialect.processed, self.dialect.failed)

    def _jobs(self, metadata: dict[str, str] | None) -> Iterator[RemoteJob]:
        wanted: dict[str, Any] = {"metadata": metadata} if metadata else {}

        def page(after: str | None) -> Raw:
            return self._ask(
                lambda client: client.fine_tuning.jobs.with_raw_response.list(
                    limit=PAGE, **_after(after), **wanted
                )
            )

        return map(self._job, every_item(page, what=self._list("jobs"), limit=PAGE))

    def _event_pages(self, remote_id: str) -> Iterator[Raw]:
        return every_item(
            lambda after: self._events_page(remote_id, after, PAGE),
            what=self._list("events"),
            limit=PAGE,
        )

    def _new_events(self, remote_id: str, known: Container[str]) -> list[Raw]:
        """Page by page, up to the first page that holds nothing new."""
        found: list[Raw] = []
        for event in self._event_pages(remote_id):
            found.append(event)
            turns = len(found) % PAGE == 0 and self.dialect.newest_event_first
            if turns and all(each.key in known for each in answers.job_events(found[-PAGE:])):
                break
        return found

    def _events_page(self, remote_id: str, after: str | None, limit: int) -> Raw:
        return self._ask(
            lambda client: client.fine_tuning.jobs.with_raw_response.list_events(
                remote_id, limit=limit, **_after(after)
            )
        )

    def _has_events(self, remote_id: str) -> bool:
        """Whether the refusal was for the second page, and not for the job."""
        page = self._events_page(remote_id, None, PAGE)
        items(page, self._list("events"))
        return has_more(page, PAGE)

    def _turn(
        self,
        remote_id: str,
        call: Callable[[OpenAI], LegacyAPIResponse[Any]],
        *wanted: JobStatus,
    ) -> RemoteJob:
        """Ask for a change. Refused because it is so already is no refusal."""
        try:
            return self._job(self._ask(call))
        except ProviderRejected as error:
            if error.status not in {400, 409}:
                raise
            job = self.retrieve_job(remote_id)
            if job.status not in wanted:
                raise
            return job

    def _list(self, of: str) -> str:
        return f"The list of {of} at {self.name}"


def _after(after: str | None) -> dict[str, Any]:
    return {} if after is None else {"after": after}


if TYPE_CHECKING:
    _implements: type[Provider] = WireProvider
