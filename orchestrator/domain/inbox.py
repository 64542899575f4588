"""Webhooks that came: which ones were seen, and which job each is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Hint:
    """What a webhook says. It is believed to be a hint to look, and nothing more.

    Attributes:
        id: the delivery's; the sender repeats it when it sends the same again.
        account: whose job it is.
        type: the sender's word for what happened.
        remote_id: the job.
    """

    id: str
    account: str
    type: str
    remote_id: str
    at: datetime


class Receipt(NamedTuple):
    """What was known of a hint: whether it is the first of its id, and our job's id."""

    is_new: bool
    job_id: str | None


class Inbox(Protocol):
    """Where webhooks are kept. Every method is one transaction."""

    def accept(self, hint: Hint) -> Receipt:
        """Write it down and make its job due at once; one that is known changes nothing."""
        ...
