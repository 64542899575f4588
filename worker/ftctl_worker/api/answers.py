"""Stored values in the words of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftctl_worker.errors import ApiError
    from ftctl_worker.job import Job
    from ftctl_worker.queue.filestore import StoredFile
    from ftctl_worker.queue.history import Checkpoint, Event
    from ftctl_worker.queue.uploads import Upload
    from ftctl_worker.serving.replies import TokenLogprob

__all__ = [
    "checkpoint",
    "event",
    "file",
    "job",
    "listing",
    "logprobs",
    "model",
    "refusal",
    "upload",
]

Answer = dict[str, Any]


def file(stored: StoredFile) -> Answer:
    """Return an OpenAIFile."""
    answer = {
        "id": stored.id,
        "object": "file",
        "bytes": stored.bytes,
        "created_at": stored.created_at,
        "filename": stored.filename,
        "purpose": stored.purpose,
        "status": "processed",
    }
    if stored.expires_at is not None:
        answer["expires_at"] = stored.expires_at
    return answer


def job(stored: Job) -> Answer:
    """Return a FineTuningJob."""
    hyperparameters = {**stored.requested, **(stored.chosen or {}), **stored.options}
    beside = ("grader", "response_format")
    method = {name: hyperparameters.pop(name) for name in beside if name in hyperparameters}
    method["hyperparameters"] = hyperparameters
    return {
        "id": stored.id,
        "object": "fine_tuning.job",
        "created_at": stored.created_at,
        "error": None if stored.error is None else vars(stored.error),
        "fine_tuned_model": stored.fine_tuned_model,
        "finished_at": stored.finished_at,
        "hyperparameters": hyperparameters if stored.method == "supervised" else {},
        "model": stored.model,
        "organization_id": "org-ftctl",
        "result_files": [] if stored.result_file is None else [stored.result_file],
        "status": stored.status,
        "trained_tokens": stored.trained_tokens,
        "training_file": stored.training_file,
        "validation_file": stored.validation_file,
        "integrations": [],
        "seed": stored.seed,
        "estimated_finish": stored.estimated_finish,
        "method": {"type": stored.method, stored.method: method},
        "metadata": stored.metadata,
        "user_provided_suffix": stored.suffix,
    }


def event(stored: Event) -> Answer:
    """Return a FineTuningJobEvent."""
    return {
        "id": stored.id,
        "object": "fine_tuning.job.event",
        "created_at": stored.created_at,
        "level": stored.level,
        "message": stored.message,
        "type": stored.type,
        "data": stored.data,
    }


def checkpoint(stored: Checkpoint) -> Answer:
    """Return a FineTuningJobCheckpoint."""
    return {
        "id": stored.id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": stored.created_at,
        "fine_tuned_model_checkpoint": stored.model,
        "fine_tuning_job_id": stored.job_id,
        "metrics": stored.metrics,
        "step_number": stored.step,
    }


def upload(stored: Upload, completed: StoredFile | None = None) -> Answer:
    """Return an Upload, with its file once that is there."""
    answer = {
        "id": stored.id,
        "object": "upload",
        "bytes": stored.bytes,
        "created_at": stored.created_at,
        "filename": stored.filename,
        "purpose": stored.purpose,
        "status": stored.status,
        "expires_at": stored.expires_at,
    }
    return answer if completed is None else {**answer, "file": file(completed)}


def model(name: str, *, created: int, owner: str) -> Answer:
    """Return a Model."""
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def logprobs(tokens: Sequence[TokenLogprob]) -> list[Answer]:
    """Return the tokens of an answer, each with the likeliest at its place."""
    return [
        {**_likely(one.token, one.logprob), "top_logprobs": [_likely(*top) for top in one.top]}
        for one in tokens
    ]


def _likely(token: str, logprob: float) -> Answer:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def listing(data: Sequence[Answer], *, has_more: bool, edges: bool = False) -> Answer:
    """Return a list; with ``edges``, the first and last id too ("" where the list is empty)."""
    answer: Answer = {"object": "list", "data": data, "has_more": has_more}
    if edges:
        answer["first_id"] = data[0]["id"] if data else ""
        answer["last_id"] = data[-1]["id"] if data else ""
    return answer


def refusal(error: ApiError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error in its envelope."""
    both = {**error.headers, **(headers or {})}
    return JSONResponse(error.envelope(), status_code=error.status, headers=both)
