"""The database itself: upgraded, copied, put back, looked over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.errors import LocalStateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.store.health import Facts, Health
    from orchestrator.wiring import App


def upgrade(application: App) -> tuple[str | None, str, Path | None]:
    """Back up and upgrade: revision before, revision after, backup."""
    from orchestrator.store import database

    return database.upgrade(application.settings.database_url, application.clock.now())


def backup(application: App, target: Path) -> None:
    """Copy the database while others write."""
    from orchestrator.store import database

    database.backup(application.settings.database_url, target)


def restore(application: App, source: Path) -> tuple[Path | None, Mapping[str, int]]:
    """Put a backup in the database's place: where the old one lies, and rows by table."""
    from orchestrator.store import health, locks

    lock = application.settings.home / "locks" / "sync.lock"
    with locks.exclusive(lock) as ours:
        if not ours:
            raise LocalStateError("A pass of sync is under way.", hint="try again in a minute")
        url, now = application.settings.database_url, application.clock.now()
        kept, found = health.restore(url, source, now)
    return kept, found.rows


def check(application: App) -> Health:
    """Read every page of the database and every reference in it."""
    from orchestrator.store import health

    return health.check(application.settings.database_url)


def facts(application: App) -> Facts:
    """What the database stands on: library, journal, disk, file modes. Makes nothing."""
    from orchestrator.store import health

    return health.facts(application.settings.database_url, application.settings.home)


def revisions(application: App) -> tuple[str | None, str]:
    """The schema that the database has, and the one this program needs."""
    from orchestrator.store import migrations
    from orchestrator.store.database import connect, translated

    engine = connect(application.settings.database_url)
    try:
        with translated(application.settings.database_url):
            return migrations.current(engine), migrations.head()
    finally:
        engine.dispose()
