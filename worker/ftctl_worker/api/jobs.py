"""The routes under /v1/fine_tuning/jobs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftctl_worker import engine_table, hardware, strictjson
from ftctl_worker.api import answers
from ftctl_worker.api.requests import (
    known_page,
    project_of,
    read_json,
    read_limit,
    read_metadata,
    read_time,
)
from ftctl_worker.errors import BadRequestError, ModelError, NotFoundError
from ftctl_worker.job import IdempotencyKey, JobStatus
from ftctl_worker.queue.job_request import parse_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from ftctl_worker.job import Job, JobDraft
    from ftctl_worker.models.bases import Catalog
    from ftctl_worker.queue.disk import Disk
    from ftctl_worker.queue.filestore import FileStore
    from ftctl_worker.queue.history import History
    from ftctl_worker.queue.jobs import JobStore
    from ftctl_worker.settings import Settings

__all__ = ["JobRoutes"]

_HIGHEST = 1000


class JobRoutes:
    """Create, list, read, pause, resume and cancel jobs; read their events and checkpoints."""

    def __init__(
        self,
        *,
        jobs: JobStore,
        files: FileStore,
        history: History,
        catalog: Catalog,
        changed: Callable[[], None],
        settings: Settings,
        disk: Disk,
    ) -> None:
        """Serve ``jobs``, and call ``changed`` when the supervisor has something to do."""
        self._jobs = jobs
        self._files = files
        self._history = history
        self._catalog = catalog
        self._changed = changed
        self._settings = settings
        self._disk = disk

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = "/v1/fine_tuning/jobs/{job_id}"
        return [
            Route("/v1/fine_tuning/jobs", self.create, methods=["POST"]),
            Route("/v1/fine_tuning/jobs", self.list, methods=["GET"]),
            Route(one, self.retrieve, methods=["GET"]),
            Route(f"{one}/cancel", self.cancel, methods=["POST"]),
            Route(f"{one}/pause", self.pause, methods=["POST"]),
            Route(f"{one}/resume", self.resume, methods=["POST"]),
            Route(f"{one}/events", self.events, methods=["GET"]),
            Route(f"{one}/checkpoints", self.checkpoints, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """Create a job, or return the one an Idempotency-Key made before."""
        body = await read_json(request)
        key = _idempotency_key(request, body)
        return await run_in_threadpool(self._create, body, key, project_of(request))

    def list(self, request: Request) -> Response:
        """List jobs, newest first."""
        wanted = read_metadata(request)
        jobs, more = known_page(
            self._jobs.page(
                after=request.query_params.get("after"),
                limit=read_limit(request, default=20, highest=_HIGHEST),
                metadata=wanted.pairs,
                without_metadata=wanted.absent,
                updated_since=read_time(request, "updated_since"),
                project=project_of(request),
            )
        )
        return JSONResponse(answers.listing([answers.job(job) for job in jobs], has_more=more))

    def retrieve(self, request: Request) -> Response:
        """Describe one job."""
        return JSONResponse(answers.job(self._find(request)))

    def cancel(self, request: Request) -> Response:
        """Cancel one job."""
        job = self._find(request)
        if not self._disk.make_room(lambda: self._jobs.cancel(job.id)):
            raise _completed(job)
        self._changed()
        return JSONResponse(answers.job(self._find(request)))

    def pause(self, request: Request) -> Response:
        """Pause one job; a paused one stays so."""
        job = self._find(request)
        if not self._jobs.pause(job.id) and job.status is not JobStatus.PAUSED:
            raise _completed(job)
        self._changed()
        return JSONResponse(answers.job(self._find(request)))

    def resume(self, request: Request) -> Response:
        """Resume one job; one that is not paused goes on as it does."""
        job = self._find(request)
        if not self._jobs.resume(job.id) and job.status.is_final:
            raise _completed(job)
        self._changed()
        return JSONResponse(answers.job(self._find(request)))

    def events(self, request: Request) -> Response:
        """List the events of a job, newest first."""
        job = self._find(request)
        events, more = known_page(
            self._history.events(
                job.id,
                after=request.query_params.get("after"),
                limit=read_limit(request, default=20, highest=_HIGHEST),
            )
        )
        return JSONResponse(answers.listing([answers.event(e) for e in events], has_more=more))

    def checkpoints(self, request: Request) -> Response:
        """List the checkpoints of a job, newest first."""
        job = self._find(request)
        found, more = known_page(
            self._history.checkpoints(
                job.id,
                after=request.query_params.get("after"),
                limit=read_limit(request, default=10, highest=_HIGHEST),
            )
        )
        data = [answers.checkpoint(checkpoint) for checkpoint in found]
        return JSONResponse(answers.listing(data, has_more=more, edges=bool(data)))

    def _create(self, body: object, key: IdempotencyKey | None, project: str) -> Response:
        earlier = None if key is None else self._jobs.replay(key)
        if earlier is not None:
            return JSONResponse(answers.job(earlier))
        draft = parse_job(body, python_graders=self._settings.allow_python_graders)
        draft = replace(draft, project=project)
        self._check_names(draft)
        draft = self._with_engine(draft)
        job, created = self._jobs.create(draft, key)
        if created:
            self._changed()
        return JSONResponse(answers.job(job))

    def _check_names(self, draft: JobDraft) -> None:
        try:
            self._catalog.resolve(draft.model)
        except ModelError as error:
            raise NotFoundError(str(error), param="model", code="model_not_found") from error
        self._check_file(draft.training_file, "training_file", draft.project)
        if draft.validation_file is not None:
            self._check_file(draft.validation_file, "validation_file", draft.project)

    def _with_engine(self, draft: JobDraft) -> JobDraft:
        """Return the draft with the engine that will train it, whatever the settings are then."""
        name = draft.options.get("engine", self._settings.engine)
        tuning = draft.options.get("tuning", "lora")
        why = engine_table.why_not(name, draft.method, tuning, hardware.describe(0)["kind"])
        if name != engine_table.DEFAULT and "response_format" in draft.options:
            why = f"The engine {name} cannot hold answers to a form; use the engine peft."
        if why is not None:
            where = f"method.{draft.method}.hyperparameters"
            raise BadRequestError(why, param=f"{where}.engine", code="engine_not_available")
        self._check_cards(draft, name)
        if name == engine_table.DEFAULT:
            return draft
        return replace(draft, options={**draft.options, "engine": name})

    def _check_cards(self, draft: JobDraft, engine: str) -> None:
        wanted = draft.options.get("gpus", 1)
        cards = len(hardware.describe(0)["gpus"])
        here = cards or self._settings.rehearsed_cards
        why = None
        if wanted > 1 and engine != "trl":
            why = f"The engine {engine} trains on one card; for {wanted}, use the engine trl."
        elif self._settings.ray_address is None and wanted > max(1, here):
            why = f"This server has {here} cards, not {wanted}."
        elif self._settings.ray_address is None and draft.options.get("shard") and not cards:
            why = "Only on cards is a model cut into parts, and this server has none; leave shard out."
        if why is not None:
            param = f"method.{draft.method}.hyperparameters.gpus"
            raise BadRequestError(why, param=param, code="engine_not_available")

    def _check_file(self, file_id: str, param: str, project: str) -> None:
        file = self._files.get(file_id, project)
        if file is None:
            raise BadRequestError(
                f"The {param} {file_id[:100]} does not exist.", param=param, code="file_not_found"
            )
        if file.purpose != "fine-tune":
            raise BadRequestError(
                f"The {param} {file_id} has the purpose '{file.purpose}'; upload it with the "
                "purpose 'fine-tune'.",
                param=param,
                code="invalid_file_purpose",
            )

    def _find(self, request: Request) -> Job:
        job_id: str = request.path_params["job_id"]
        job = self._jobs.get(job_id, project_of(request))
        if job is None:
            raise NotFoundError(
                f"Could not find fine tune: {job_id}",
                param="fine_tuning_job_id",
                code="fine_tune_not_found",
            )
        return job


def _completed(job: Job) -> BadRequestError:
    return BadRequestError(f"Job has already completed: {job.id}", code="job_already_completed")


def _idempotency_key(request: Request, body: object) -> IdempotencyKey | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= 255:
        raise BadRequestError(
            "The Idempotency-Key takes 1 to 255 characters.", param="Idempotency-Key"
        )
    digest = hashlib.sha256(strictjson.dumps(body).encode()).hexdigest()
    return IdempotencyKey(key=f"{project_of(request)}/{key}", body_sha256=digest)
