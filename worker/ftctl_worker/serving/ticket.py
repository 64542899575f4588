"""One request in the chat engine: what is asked, of which model, and who hears the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftctl_worker.project import DEFAULT_PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftctl_worker.models.bases import BaseModel
    from ftctl_worker.serving.chat_request import ChatRequest
    from ftctl_worker.serving.replies import Reply

__all__ = ["Target", "Ticket"]


@dataclass(frozen=True)
class Target:
    """Which model answers a project: a base model, alone or with the adapter in a folder."""

    base: BaseModel
    adapter: Path | None
    project: str = DEFAULT_PROJECT


@dataclass(eq=False)
class Ticket:
    """One answer asked of the engine; replies go to ``deliver`` from the engine's thread.

    ``index`` tells the answers to one request apart.
    """

    chat: ChatRequest
    target: Target
    deliver: Callable[[Reply], None]
    index: int = 0
    cancelled: bool = field(default=False, init=False)
    ended: bool = field(default=False, init=False)

    def cancel(self) -> None:
        """Say that nobody waits for the answer any more."""
        self.cancelled = True
