"""Migrations: a new database, an older one, a newer one, and two processes at once."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from orchestrator import resources
from orchestrator.domain.errors import DatabaseOutdated, DatabaseTooNew, LocalStateError
from orchestrator.domain.jobs.job import JobEvent, MetricPoint, Origin
from orchestrator.domain.ledger import History
from orchestrator.store import comparison_tables, database, migrations, tables
from orchestrator.store.jobs import SqlJobStore
from orchestrator.store.metadata import metadata
from tests.conftest import Ftctl
from tests.factories import a_job


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def test_migrations_equal_the_tables(tmp_path):
    assert {tables.job_rows.metadata, comparison_tables.answer_rows.metadata} == {metadata}
    engine = database.open_database(url_of(tmp_path / "new.db"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_files_number_the_revisions(tmp_path):
    walked = ScriptDirectory(str(resources.folder("migrations"))).walk_revisions()
    assert migrations.revisions() == [script.revision for script in walked][::-1]


def test_every_migration_goes_up_down_and_up_again(tmp_path):
    engine = database.connect(url_of(tmp_path / "ledger.db"))
    migrations.upgrade(engine)
    migrations.downgrade(engine, "base")
    assert migrations.current(engine) is None
    migrations.upgrade(engine)
    assert migrations.current(engine) == migrations.head()
    engine.dispose()


def test_a_job_without_data_survives_an_older_schema_with_all_its_rows(tmp_path):
    engine = database.open_database(url_of(tmp_path / "ledger.db"))
    job = a_job(training=None, origin=Origin.ADOPTED, remote_id="ftjob-1")
    event = JobEvent(key="k", at=job.created_at, level="info", message="m")
    history = History(events=[event], metrics=[MetricPoint(1, "train_loss", 2.0)])
    assert SqlJobStore(engine).adopt(job, history, "found")
    assert not SqlJobStore(engine).adopt(a_job(remote_id="ftjob-1", training=None), history, "")
    migrations.downgrade(engine, "0006")
    migrations.upgrade(engine)
    store = SqlJobStore(engine)
    assert [each.remote_id for each in store.all()] == ["ftjob-1"]
    assert [len(rows) for rows in (store.events(job.id), store.metrics(job.id))] == [1, 1]
    assert len(store.transitions(job.id)) == 1
    engine.dispose()


def test_a_new_database_is_its_owners_alone(tmp_path):
    engine = database.open_database(url_of(tmp_path / "ledger.db"))
    files = list(tmp_path.glob("ledger.db*"))
    assert len(files) > 1 or database.journal_mode(database.sqlite_module()) == "delete"
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    engine.dispose()


def test_the_recipe_is_in_force(tmp_path):
    engine = database.open_database(url_of(tmp_path / "ledger.db"))
    with engine.connect() as connection:
        answers = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("foreign_keys", "synchronous", "journal_mode", "busy_timeout")
        }
    engine.dispose()
    safe = database.sqlite_module().sqlite_version_info >= database.WAL_SAFE
    assert answers == {
        "foreign_keys": 1,
        "synchronous": 2,
        "journal_mode": "wal" if safe else "delete",
        "busy_timeout": 30_000,
    }


def stamped(path: Path, revision: str) -> None:
    database.open_database(url_of(path)).dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_a_newer_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger.db"
    stamped(path, "9999")
    with pytest.raises(DatabaseTooNew):
        database.open_database(url_of(path))
    with pytest.raises(DatabaseTooNew):
        database.upgrade(url_of(path), database_now())


def test_an_older_database_is_refused_with_the_command_that_upgrades_it(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "ledger.db"
    database.open_database(url_of(path)).dispose()
    monkeypatch.setattr(migrations, "head", lambda: "9999")
    with pytest.raises(DatabaseOutdated) as caught:
        database.open_database(url_of(path))
    assert caught.value.hint == "ftctl db upgrade"


def test_upgrade_backs_up_first(tmp_path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "ledger.db"
    database.open_database(url_of(path)).dispose()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "head", lambda: "9999")
        patch.setattr(migrations, "upgrade", lambda engine: None)
        before, after, copy = database.upgrade(url_of(path), database_now())
    assert (before, after) == (migrations.head(), "9999")
    assert copy is not None
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_foreign_database_is_not_touched(tmp_path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    with pytest.raises(LocalStateError, match="did not make"):
        database.open_database(url_of(path))


def test_a_file_that_is_no_database_is_one_sentence(ftctl: Ftctl):
    (ftctl.home / "ftctl.db").write_bytes(b"not a database at all, but long enough to look at" * 40)
    outcome = ftctl("status")
    assert outcome.code == 5
    assert "not a sound SQLite database" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LocalStateError, match="cannot be made"):
        database.open_database(url_of(tmp_path / "taken" / "home" / "ftctl.db"))


def opened(url: str) -> str | None:
    engine = database.open_database(url)
    revision = migrations.current(engine)
    engine.dispose()
    return revision


def test_processes_that_start_at_once_all_find_a_whole_database(tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        found = pool.map(opened, [url_of(tmp_path / "ledger.db")] * 4)
    assert found == [migrations.head()] * 4


def database_now():
    from orchestrator.domain.clock import ManualClock

    return ManualClock().now()
