"""Every error the worker raises on purpose.

WorkerError
├── ConfigurationError        exit 3: a setting is missing or makes no sense
├── LocalStateError           exit 5: the home folder cannot be used
├── ModelError                a base model cannot be found or loaded
│   └── AdapterError          an adapter cannot be loaded, or does not fit its base model
├── TrainingDataError         a training or validation file cannot be used; knows the line
├── GraderFailedError         a grader graded none of the answers of a step
├── JobSupersededError        another attempt owns the job; the trainer must stop quietly
└── ApiError                  an answer in OpenAI's error envelope
    ├── BadRequestError       400
    ├── UnauthorizedError     401
    ├── QuotaError            403
    ├── NotFoundError         404
    ├── MethodNotAllowedError 405
    ├── RequestTimeoutError   408
    ├── PayloadTooLargeError  413
    ├── UnsupportedMediaError 415
    ├── ReusedKeyError        422
    ├── QueueFullError        429
    └── DiskFullError         507
"""

from __future__ import annotations

from typing import ClassVar


class WorkerError(Exception):
    """Something the worker can name went wrong; the message is meant for a person."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(WorkerError):
    """A setting is missing or makes no sense. Trying again does not help."""

    exit_code = 3


class LocalStateError(WorkerError):
    """The home folder cannot be used: locked, written by a newer version, or not writable."""

    exit_code = 5


class ModelError(WorkerError):
    """A base model cannot be found or loaded. The message says what to do."""


class AdapterError(ModelError):
    """An adapter cannot be loaded, or does not fit its base model. It will not later, either."""


class TrainingDataError(WorkerError):
    """A training or validation file cannot be used; ``param`` says which."""

    param = "training_file"

    def __init__(self, message: str, *, line: int | None = None) -> None:
        """Keep the one-based ``line``, and put it in front of the message."""
        super().__init__(message if line is None else f"Line {line}: {message}")
        self.line = line


class GraderFailedError(WorkerError):
    """A grader graded none of the answers of a step; the message has its last reason."""


class JobSupersededError(WorkerError):
    """The job was cancelled or belongs to another attempt; this trainer must stop quietly."""


class ApiError(WorkerError):
    """An answer with a status of 400 or more in OpenAI's error envelope."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "invalid_request_error"
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        """Keep what the envelope shows: a message, the parameter to mend and a stable code."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code

    def envelope(self) -> dict[str, dict[str, str | None]]:
        """Return ``{"error": {"message", "type", "param", "code"}}``."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class BadRequestError(ApiError):
    """The request breaks a rule of the API. Mend it before trying again."""

    status = 400


class UnauthorizedError(ApiError):
    """The bearer token is missing or wrong."""

    status = 401


class QuotaError(ApiError):
    """The project keeps as much as it may. Delete something first."""

    status = 403


class NotFoundError(ApiError):
    """The thing asked for does not exist here."""

    status = 404


class MethodNotAllowedError(ApiError):
    """The route exists, but not for this method."""

    status = 405


class RequestTimeoutError(ApiError):
    """The rest of the request did not come. Send it again."""

    status = 408


class PayloadTooLargeError(ApiError):
    """The request body is larger than this server takes."""

    status = 413


class UnsupportedMediaError(ApiError):
    """The body comes in a form this server does not read."""

    status = 415


class ReusedKeyError(ApiError):
    """An idempotency key came back with another body."""

    status = 422


class QueueFullError(ApiError):
    """As many jobs are open, or chats wait, as this server takes. Try again later."""

    status = 429
    type = "rate_limit_error"
    # Clients of the API wait as long before they try again, where it is a minute at most.
    headers = {"retry-after": "5"}


class DiskFullError(ApiError):
    """The disk of the server is full, or nearly. Try again once there is room."""

    status = 507
    type = "server_error"
