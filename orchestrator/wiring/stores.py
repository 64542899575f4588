"""The stores over one database, each made on first use, and the lock between its processes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from orchestrator.config import Settings
    from orchestrator.domain.archive import Archive
    from orchestrator.domain.comparing.answerbook import Recordings
    from orchestrator.domain.inbox import Inbox
    from orchestrator.domain.jobs.deployment import DeploymentStore
    from orchestrator.domain.jobs.move import Moves
    from orchestrator.domain.jobs.notification import Outbox
    from orchestrator.domain.jobs.pipeline import Pipelines
    from orchestrator.domain.ledger import DatasetStore, Gates, JobStore, ModelDates
    from orchestrator.domain.money.spending import Spendings
    from orchestrator.store.comparisons import ComparisonStore
    from orchestrator.store.drafts import Drafts


@dataclass
class Stores:
    """What is kept.

    Attributes:
        settings: what the environment and ftctl.toml say.
    """

    settings: Settings

    @cached_property
    def engine(self) -> Engine:
        """The database, made on first use.

        Raises:
            LocalStateError: it cannot be used; DatabaseOutdated says what to type.
        """
        from orchestrator.store.database import open_database

        return open_database(self.settings.database_url)

    @cached_property
    def jobs(self) -> JobStore:
        """The ledger's jobs."""
        from orchestrator.store.jobs import SqlJobStore

        return SqlJobStore(self.engine)

    @cached_property
    def datasets(self) -> DatasetStore:
        """The content-addressed dataset store."""
        from orchestrator.store.datasets import SqlDatasetStore

        return SqlDatasetStore(self.engine, self.settings.home / "datasets")

    @cached_property
    def drafts(self) -> Drafts:
        """Folders for what is made on the way."""
        from orchestrator.store.drafts import Drafts

        return Drafts(self.settings.home / "drafts")

    @cached_property
    def archive(self) -> Archive:
        """What became of a provider's files."""
        from orchestrator.store.archive import SqlArchive

        return SqlArchive(self.engine, self.settings.home / "files")

    @cached_property
    def moves(self) -> Moves:
        """Which job was made anew from which."""
        from orchestrator.store.moves import SqlMoves

        return SqlMoves(self.engine)

    @cached_property
    def gates(self) -> Gates:
        """Which accounts may be asked."""
        from orchestrator.store.gates import SqlGates

        return SqlGates(self.engine)

    @cached_property
    def spendings(self) -> Spendings:
        """What was reserved and spent."""
        from orchestrator.store.spendings import SqlSpendings

        return SqlSpendings(self.engine)

    @cached_property
    def model_dates(self) -> ModelDates:
        """What providers said of their models' last days."""
        from orchestrator.store.model_dates import SqlModelDates

        return SqlModelDates(self.engine)

    @cached_property
    def comparisons(self) -> ComparisonStore:
        """Comparisons, answers and reports."""
        from orchestrator.store.comparisons import ComparisonStore

        return ComparisonStore(self.engine)

    @cached_property
    def recordings(self) -> Recordings:
        """Answers that were frozen."""
        from orchestrator.store.recordings import RecordingStore

        return RecordingStore(self.engine)

    @cached_property
    def pipelines(self) -> Pipelines:
        """What was done for the spec files that were applied."""
        from orchestrator.store.pipelines import PipelineStore

        return PipelineStore(self.engine)

    @cached_property
    def deployments(self) -> DeploymentStore:
        """What is deployed, and what was."""
        from orchestrator.store.deployments import SqlDeploymentStore

        return SqlDeploymentStore(self.engine)

    @cached_property
    def outbox(self) -> Outbox:
        """What others are still to be told."""
        from orchestrator.store.notifications import SqlOutbox

        return SqlOutbox(self.engine)

    @cached_property
    def inbox(self) -> Inbox:
        """Webhooks that came."""
        from orchestrator.store.inbox import SqlInbox

        return SqlInbox(self.engine)

    @property
    def has_ledger(self) -> bool:
        """Whether there is a database already."""
        from orchestrator.store.database import sqlite_file

        file = sqlite_file(self.settings.database_url)
        return file is None or file.is_file()

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """A lock between the processes that share this database; yields whether it is ours."""
        from orchestrator.store import locks

        if self.engine.dialect.name == "postgresql":
            with locks.advisory(self.engine, name) as ours:
                yield ours
        else:
            with locks.exclusive(self.settings.home / "locks" / f"{name}.lock") as ours:
                yield ours
