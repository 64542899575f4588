"""The error tree. One sentence each, a hint that can be typed, and whether to try again.

FtctlError
├── UsageError                what was typed cannot be done              exit 2
├── AnswerIsNo                the answer is no                           exit 1
│   ├── DatasetInvalid        the dataset has errors
│   ├── AdapterRefused        these files are no adapter that can be kept
│   ├── JobFailed             the job ended without a model
│   ├── TooDear               it may cost more than --max-cost
│   ├── Unpriced              nobody knows what it may cost
│   ├── BudgetExceeded        it does not fit into the month's budget
│   └── ProviderRejected      the provider said no, clearly
│       └── RemoteNotFound    the provider has no such thing
├── ConfigurationError        a setting is missing or wrong              exit 3
│   ├── MissingCredentials    no key where one is needed
│   ├── CredentialsRefused    the provider refused the key
│   │   └── Forbidden         it knows the key, which may not do that
│   └── MissingExtra          an optional part is not installed
├── TryLater                  the provider cannot be asked now           exit 4 (transient)
│   ├── ProviderUnreachable   no answer, or an answer that is not one
│   └── RateLimited           too many requests
├── OutcomeUnknown            sent, and no clear answer came back        exit 4
└── LocalStateError           database or disk                           exit 5
    ├── DatabaseOutdated      an older schema than this program
    ├── DatabaseTooNew        a newer schema than this program
    └── Conflict              someone else changed the row first (transient)

A new error needs a docstring: it is the message where none is given.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to the shell; fixed by docs/cli.md."""

    DONE = 0
    NO = 1
    USAGE = 2
    CONFIGURATION = 3
    TRY_LATER = 4
    LOCAL_STATE = 5
    INCONCLUSIVE = 10
    INTERRUPTED = 130


class FtctlError(Exception):
    """Something ftctl can explain in one sentence went wrong."""

    exit_code: ExitCode = ExitCode.NO
    transient: bool = False

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        """Take the sentence shown to a person, and a hint that can be typed.

        Args:
            message: one sentence; the class's docstring when absent.
            hint: what to type next.
        """
        self.message = message or (self.__doc__ or "").strip()
        self.hint = hint
        super().__init__(self.message)


class UsageError(FtctlError):
    """What was typed cannot be done."""

    exit_code = ExitCode.USAGE


class AnswerIsNo(FtctlError):
    """The answer is no."""


class DatasetInvalid(AnswerIsNo):
    """The dataset has errors; nothing was uploaded."""


class AdapterRefused(AnswerIsNo):
    """These files are no adapter that can be kept."""


class JobFailed(AnswerIsNo):
    """The job ended without a tuned model."""


class TooDear(AnswerIsNo):
    """This may cost more than --max-cost."""


class Unpriced(AnswerIsNo):
    """Nobody knows what this may cost."""


class BudgetExceeded(AnswerIsNo):
    """This does not fit into what is left of the month's budget."""


class ProviderRejected(AnswerIsNo):
    """The provider said no."""

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        """Add the HTTP status, the provider's own error code and the field it names."""
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.param = param


class RemoteNotFound(ProviderRejected):
    """The provider has no such thing."""


class ConfigurationError(FtctlError):
    """A setting is missing or wrong."""

    exit_code = ExitCode.CONFIGURATION


class MissingCredentials(ConfigurationError):
    """No key was found where one is needed."""


class CredentialsRefused(ConfigurationError):
    """The provider refused the key."""


class Forbidden(CredentialsRefused):
    """The provider knows the key, and the key may not do that."""


class MissingExtra(ConfigurationError):
    """An optional part of ftctl is not installed."""


class TryLater(FtctlError):
    """The provider cannot be asked now; try again later."""

    exit_code = ExitCode.TRY_LATER
    transient = True


class ProviderUnreachable(TryLater):
    """The provider did not answer."""


class RateLimited(TryLater):
    """The provider asks for fewer requests."""

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Add how many seconds the provider asks us to wait."""
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class OutcomeUnknown(FtctlError):
    """The request was sent and no clear answer came back; it must not simply be sent again."""

    exit_code = ExitCode.TRY_LATER


class LocalStateError(FtctlError):
    """The database or the disk is in the way."""

    exit_code = ExitCode.LOCAL_STATE


class DatabaseOutdated(LocalStateError):
    """The database was made by an older ftctl."""


class DatabaseTooNew(LocalStateError):
    """The database was made by a newer ftctl."""


class Conflict(LocalStateError):
    """Another process changed the same row first."""

    transient = True
