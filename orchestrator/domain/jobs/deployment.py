"""A deployment: a tuned model that a host keeps ready, and bills by the hour whether used or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from orchestrator.domain.jobs.job import RemoteError


class DeploymentState(StrEnum):
    """Where a deployment stands. The comment says what is true while it stands there."""

    PLANNED = "planned"  #: the intent is committed; with `sent_at`, the request may have left
    UNKNOWN = "unknown"  #: the request left and no clear answer came
    ACCEPTED = "accepted"  #: the host took it
    CREATING = "creating"  #: the host makes it
    SUCCEEDED = "succeeded"  #: it answers, and is billed
    FAILED = "failed"  #: the host could not or would not make it
    DELETING = "deleting"  #: its end is asked for, or under way
    DELETED = "deleted"  #: the host has no such deployment any more, or never had it

    @property
    def is_open(self) -> bool:
        """The host may have it: it may cost money."""
        return self not in {DeploymentState.FAILED, DeploymentState.DELETED}

    @property
    def is_moving(self) -> bool:
        """It will be elsewhere soon."""
        return self in {
            DeploymentState.UNKNOWN,
            DeploymentState.ACCEPTED,
            DeploymentState.CREATING,
            DeploymentState.DELETING,
        }

    def may_become(self, other: DeploymentState) -> bool:
        """Whether the state machine has this arrow."""
        return other in ALLOWED_MOVES[self]


_AT_HOST = frozenset(
    {
        DeploymentState.ACCEPTED,
        DeploymentState.CREATING,
        DeploymentState.SUCCEEDED,
        DeploymentState.FAILED,
        DeploymentState.DELETING,
        DeploymentState.DELETED,
    }
)

ALLOWED_MOVES: Mapping[DeploymentState, frozenset[DeploymentState]] = {
    DeploymentState.PLANNED: _AT_HOST | {DeploymentState.UNKNOWN},
    DeploymentState.UNKNOWN: _AT_HOST | {DeploymentState.PLANNED},
    DeploymentState.ACCEPTED: _AT_HOST,
    DeploymentState.CREATING: _AT_HOST,
    DeploymentState.SUCCEEDED: _AT_HOST,
    DeploymentState.FAILED: _AT_HOST | {DeploymentState.PLANNED},
    DeploymentState.DELETING: _AT_HOST,
    DeploymentState.DELETED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment as the ledger knows it, from the intent to its end.

    Attributes:
        id: ours; any unique prefix names it.
        job_id: the job whose model it serves.
        provider: the profile's name.
        resource: fingerprint of the resource it lies in; never the token.
        name: what the host calls it, and what chat requests name.
        model: the tuned model or the checkpoint it serves.
        base_model: what that was tuned from, by which prices are found.
        sku: the host's word for how it is billed.
        capacity: thousands of tokens a minute, as the host counts them.
        hour_micros: millionths of a dollar an hour, used or not; None is unpriced.
        price_note: the price row, in words, as it was when the intent was written.
        operation: where the host tells how the making went; None when it did not say.
        sent_at: when the last request to make it was about to leave.
        undeploy_at: when a person asked for its end.
        absent_at: when the host first lacked it.
        started_at: when its hours began; None while it never stood.
        ended_at: when its hours ended; None while it stands.
        ends_at: when the host ends it by itself, if it does; from the intent until it stands.
        checked_at: when the host was last asked about it; a hint.
        version: counts changes; every change is a compare-and-swap on it.
    """

    id: str
    job_id: str
    provider: str
    resource: str
    name: str
    model: str
    base_model: str
    sku: str
    capacity: int
    created_at: datetime
    updated_at: datetime
    state: DeploymentState = DeploymentState.PLANNED
    remote_state: str | None = None
    hour_micros: int | None = None
    price_note: str = ""
    error: RemoteError | None = None
    operation: str | None = None
    sent_at: datetime | None = None
    undeploy_at: datetime | None = None
    absent_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ends_at: datetime | None = None
    checked_at: datetime | None = None
    version: int = 1
    raw: Mapping[str, Any] | None = None

    @property
    def is_in_doubt(self) -> bool:
        """A request to make it may have left, and nobody saw it stand."""
        planned = self.state is DeploymentState.PLANNED and self.sent_at is not None
        return planned or self.state is DeploymentState.UNKNOWN

    @property
    def is_unsent(self) -> bool:
        """The host surely knows nothing of it."""
        return self.state is DeploymentState.PLANNED and self.sent_at is None

    @property
    def may_cost(self) -> bool:
        """The host may have it, and bill it: it is looked after until it is surely gone."""
        if self.state is DeploymentState.FAILED:
            return self.started_at is not None
        return self.state.is_open and not self.is_unsent


@dataclass(frozen=True, kw_only=True)
class DeploymentRequest:
    """What one PUT asks for."""

    name: str
    model: str
    sku: str
    capacity: int


@dataclass(frozen=True, kw_only=True)
class RemoteDeployment:
    """A deployment as the host tells it.

    Attributes:
        state: our word for it; None when the host used a word we do not act on.
        remote_state: the host's own word.
        operation: where it tells how the making goes, if it said so.
        raw: the answer as it came.
    """

    name: str
    model: str
    state: DeploymentState | None
    remote_state: str
    sku: str | None = None
    capacity: int | None = None
    created_at: datetime | None = None
    operation: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


class DeploymentHost(Protocol):
    """Where tuned models are deployed.

    Attributes:
        name: the profile's name.
        account: fingerprint of the resource; never the token.
    """

    name: str
    account: str

    def put(self, request: DeploymentRequest, *, new: bool) -> RemoteDeployment:
        """Ask for a deployment, once.

        Args:
            request: what is wanted.
            new: refuse to touch one of that name, where the host can.

        Raises:
            ProviderRejected: a clear no; nothing was made.
            TryLater, ConfigurationError: surely not taken.
            OutcomeUnknown: anything else; it may have been taken.
        """
        ...

    def get(self, name: str) -> RemoteDeployment | None:
        """One deployment as it stands; None when there is none of that name."""
        ...

    def list(self) -> Sequence[RemoteDeployment]:
        """Every deployment of the resource, or an error; never a part of them."""
        ...

    def delete(self, name: str) -> None:
        """Ask for its end; safe to repeat, and none of that name is no error."""
        ...

    def failure(self, operation: str) -> RemoteError | None:
        """Why the making failed, in the host's own words; None when it does not say."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class DeploymentStore(Protocol):
    """Where deployments are kept. Every method is one transaction."""

    def add(self, deployment: Deployment) -> None:
        """Commit the intent and its first transition.

        Raises:
            Conflict: another intent of that name in that resource is not over.
        """
        ...

    def change(
        self,
        deployment: Deployment,
        at: datetime,
        reason: str,
        state: DeploymentState | None = None,
        **fields: Any,
    ) -> Deployment:
        """Compare-and-swap on the row's version; a change of state is one transition row.

        Raises:
            Conflict: another process changed the row since `deployment` was read.
        """
        ...

    def get(self, deployment_id: str) -> Deployment:
        """One deployment by its whole id."""
        ...

    def find(self, prefix: str) -> Sequence[Deployment]:
        """Those whose id or job's id starts with `prefix`, or whose name it is; newest first."""
        ...

    def all(
        self, states: Iterable[DeploymentState] | None = None, *, job_id: str | None = None
    ) -> Sequence[Deployment]:
        """Deployments, newest first; only those in one of `states`, or of one job."""
        ...

    def named(self, resource: str, name: str) -> Deployment | None:
        """The one of that name in that resource that is not deleted."""
        ...

    def checked(self, ids: Iterable[str], at: datetime) -> None:
        """Remember when the host was asked; a hint, not a change."""
        ...

    def last_call(self, deployment: Deployment) -> datetime | None:
        """When it last answered a comparison or a recording of ours; None when never."""
        ...


class Served(Mapping[str, str]):
    """Which deployment answers for a model: what the profile says, then what the ledger knows.

    The ledger is read when a name is first looked for, and not by commands that ask no model.
    """

    def __init__(self, said: Mapping[str, str], known: Callable[[], Mapping[str, str]]) -> None:
        """Take what the profile says, and what reads the rest."""
        self._said = said
        self._known = known
        self._all: Mapping[str, str] | None = None

    def __getitem__(self, model: str) -> str:
        """The deployment's name."""
        return self._said[model] if model in self._said else self._names()[model]

    def __iter__(self) -> Iterator[str]:
        """Every model that is served."""
        return iter(self._names())

    def __len__(self) -> int:
        """How many are."""
        return len(self._names())

    def _names(self) -> Mapping[str, str]:
        if self._all is None:
            self._all = {**self._known(), **self._said}
        return self._all


def serving(deployments: Iterable[Deployment], provider: str) -> dict[str, str]:
    """Model to deployment name, of those of a profile that answer; of two, the newer one.

    Args:
        deployments: newest first.
        provider: the profile's name.
    """
    found: dict[str, str] = {}
    for each in deployments:
        if each.provider == provider and each.state is DeploymentState.SUCCEEDED:
            found.setdefault(each.model, each.name)
    return found
