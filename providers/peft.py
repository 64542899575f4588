"""The self-hosted worker: LoRA on a machine of one's own, over the same dialect.

Either a worker that runs somewhere (`base_url` and a key), or `embedded = true`: one on this
machine that ftctl starts when it is needed.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import ConfigurationError, ProviderUnreachable
from orchestrator.domain.jobs.job import JobStatus, Method
from orchestrator.domain.jobs.recipe import RateMeaning
from orchestrator.domain.provider import Capabilities
from providers.connection import Address, address, required_key
from providers.dialect import LARGEST_FILE, LARGEST_REQUEST, Dialect
from providers.embedded import EmbeddedWorker, require_worker
from providers.gives_adapters import GivesAdapters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openai import OpenAI
    from openai._legacy_response import LegacyAPIResponse

    from orchestrator.domain.chat import ChatAnswer, ChatRequest
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import JobRequest, RemoteJob, RemoteModel, Sink
    from providers.connection import Transport
    from providers.retry import Retry

_HELLO = ({"role": "user", "content": "hello"},)
BUILT_IN_MODELS = frozenset({"tiny", "smollm2"})

DIALECT = Dialect(
    kind="peft",
    capabilities=Capabilities(
        methods=frozenset(Method),
        metadata_filter=True,
        idempotency_key=True,
        min_rows=1,
        pause=True,
        rate=RateMeaning.OF_THE_BASE,
        own_options=True,
        max_file_bytes=LARGEST_FILE,
        parts_above=LARGEST_REQUEST,
        delete_model=True,
        prices=None,
    ),
    status_words={
        "validating_files": JobStatus.QUEUED,
        "queued": JobStatus.QUEUED,
        "running": JobStatus.RUNNING,
        "paused": JobStatus.PAUSED,
        "succeeded": JobStatus.SUCCEEDED,
        "failed": JobStatus.FAILED,
        "cancelled": JobStatus.CANCELLED,
    },
)


def build(
    profile: Profile, *, transport: Transport | None = None, retry: Retry | None = None
) -> GivesAdapters:
    """The worker the profile describes.

    Raises:
        MissingExtra: the profile is embedded, and the worker is not installed.
        MissingCredentials, ConfigurationError: see `required_key` and `checked_url`.
    """
    if profile.embedded:
        # Before a job is written down that nobody here could run.
        require_worker()
        return EmbeddedProvider(profile, transport=transport, retry=retry)
    if not profile.base_url:
        raise ConfigurationError(
            f"The provider '{profile.name}' names no worker.",
            hint=f'write base_url = "https://HOST/v1" or embedded = true under'
            f" [providers.{profile.name}]",
        )
    where = address(profile, profile.base_url, required_key(profile))
    return GivesAdapters(DIALECT, profile, where, transport=transport, retry=retry)


class EmbeddedProvider(GivesAdapters):
    """A worker on this machine; nothing is started before the first request."""

    def __init__(
        self, profile: Profile, *, transport: Transport | None = None, retry: Retry | None = None
    ) -> None:
        """Read the profile.

        The account stands for the folder, not for port or token: those change when the worker
        is started again, and its jobs do not.
        """
        folder = profile.home.absolute() / "worker"
        super().__init__(
            DIALECT,
            profile,
            Address(url="http://127.0.0.1", key="", timeout=profile.timeout),
            account=hashlib.sha256(f"peft|embedded|{folder}".encode()).hexdigest()[:16],
            transport=transport,
            retry=retry,
        )
        self._profile = profile
        self._worker = EmbeddedWorker(folder, profile.options)
        self._starting = threading.Lock()
        self._warming = threading.Lock()
        self._warm: set[str] = set()
        self._started = False

    def create_job(self, request: JobRequest) -> RemoteJob:
        """See the port. The worker is made sure of before, for the POST is not repeated."""
        self._ensure(look=True)
        return super().create_job(request)

    def file_content(self, file_id: str, sink: Sink) -> int:
        """See the port."""
        self._ensure(look=True)
        return super().file_content(file_id, sink)

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """See the port. Loading a model is no part of how long it takes to answer."""
        with self._warming:
            if request.model not in self._warm:
                # A machine that is busy may take longer to load than to answer: then the question
                # itself waits, with a time limit of its own.
                with suppress(ProviderUnreachable):
                    super().chat(replace(request, messages=_HELLO, tools=None, max_tokens=1))
                self._warm.add(request.model)
        return super().chat(request)

    def models(self) -> Sequence[RemoteModel]:
        """Every model of the worker, which is started for that."""
        self._ensure()
        return super().models()

    def close(self) -> None:
        """Give back connections and let the worker go; a job that runs keeps it."""
        super().close()
        self._started = False
        self._warm.clear()
        self._worker.close()

    def _ask(self, call: Callable[[OpenAI], LegacyAPIResponse[Any]]) -> dict[str, Any]:
        self._ensure()
        try:
            return super()._ask(call)
        except ProviderUnreachable:
            if self._worker.answers():
                raise
        self._ensure(look=True)
        return super()._ask(call)

    def _client(self) -> OpenAI:
        self._ensure()
        return super()._client()

    def _download(self, model: str, file: Mapping[str, Any], target: Path) -> None:
        self._ensure()
        super()._download(model, file, target)

    def _ensure(self, *, look: bool = False) -> None:
        """Have a worker; `look` again even if we had one."""
        with self._starting:
            if self._started and not (look and not self._worker.answers()):
                return
            running = self._worker.start()
            self._move(Address(url=running.url, key=running.token, timeout=self._profile.timeout))
            self._started = True

    def _job_body(self, request: JobRequest) -> dict[str, Any]:
        return {**super()._job_body(request), "model": _model(request.model)}

    def _chat_body(self, request: ChatRequest) -> dict[str, Any]:
        return {**super()._chat_body(request), "model": _model(request.model)}


def _model(name: str) -> str:
    """A folder as an absolute path, for the worker stands elsewhere; any other name as it is."""
    folder = Path(name).expanduser()
    if name not in BUILT_IN_MODELS and (folder / "config.json").is_file():
        return str(folder.absolute())
    return name
