"""Backup, restore, check, doctor; disks that are full or may not be written; migrations that die."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, func, insert, inspect, select

from orchestrator.domain.clock import ManualClock
from orchestrator.domain.errors import LocalStateError
from orchestrator.domain.jobs.job import JobStatus
from orchestrator.store import database, disks, health, migrations
from orchestrator.store.datasets import SqlDatasetStore
from orchestrator.store.jobs import SqlJobStore
from orchestrator.store.metadata import metadata
from tests.conftest import Ftctl
from tests.factories import a_dataset, a_job
from tests.store.postgresql import Server

NOW = ManualClock().now()


def populated(url: str, folder: Path, jobs: int = 3) -> None:
    engine = database.open_database(url)
    content = folder / "row.jsonl"
    content.write_text("{}\n")
    SqlDatasetStore(engine, folder / "datasets").keep(a_dataset(), content)
    store = SqlJobStore(engine)
    for number in range(jobs):
        job = a_job(id=f"job{number:09d}")
        store.add(job)
        store.change(job, NOW, "uploading", JobStatus.UPLOADING)
    engine.dispose()


@pytest.fixture
def ledger(ftctl: Ftctl) -> Ftctl:
    populated(f"sqlite:///{ftctl.home / 'ftctl.db'}", ftctl.home)
    return ftctl


def jobs_of(ftctl: Ftctl) -> int:
    return len(ftctl("status", "--json").json)


def test_a_backup_can_be_restored_and_what_was_there_is_kept(ledger: Ftctl):
    copy = ledger.home / "copy.db"
    assert ledger("db", "backup", copy).code == 0
    app = ledger.app()
    app.jobs.add(a_job(id="after0000000"))
    app.close()
    outcome = ledger("db", "restore", copy, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["rows"]["jobs"] == jobs_of(ledger) == 3
    kept = Path(outcome.json["kept"])
    assert health.check(f"sqlite:///{kept}").rows["jobs"] == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in (kept, ledger.home / "ftctl.db")} == {
        0o600
    }


def test_a_bad_backup_replaces_nothing(ledger: Ftctl):
    bad = ledger.home / "bad.db"
    whole = (ledger.home / "ftctl.db").read_bytes()
    bad.write_bytes(whole[:4096] + b"\xff" * 8192 + whole[12288:])
    outcome = ledger("db", "restore", bad)
    assert outcome.code == 5
    assert "Traceback" not in outcome.err
    theirs = ledger.home / "theirs.db"
    with closing(sqlite3.connect(theirs)) as connection, connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    assert "no table of jobs" in ledger("db", "restore", theirs).err
    assert jobs_of(ledger) == 3
    assert not list(ledger.home.glob(".*restore*"))


def test_a_ruined_database_gives_way_to_the_backup_and_is_kept(ledger: Ftctl):
    copy = ledger.home / "copy.db"
    ledger("db", "backup", copy)
    (ledger.home / "ftctl.db").write_bytes(b"ruined" * 4000)
    assert ledger("status").code == 5
    outcome = ledger("db", "restore", copy, "--json")
    assert outcome.code == 0, outcome.err
    assert Path(outcome.json["kept"]).read_bytes().startswith(b"ruined")
    assert jobs_of(ledger) == 3


def test_check_finds_rows_that_point_nowhere(ledger: Ftctl):
    assert ledger("db", "check", "--json").json["rows"]["jobs"] == 3
    with closing(sqlite3.connect(ledger.home / "ftctl.db")) as connection, connection:
        connection.execute("DELETE FROM datasets")
    outcome = ledger("db", "check", "--json")
    assert outcome.code == 5
    assert "datasets" in outcome.json["problems"][0]


def write_on(path: str) -> None:
    """A writer that never rests."""
    store = SqlJobStore(database.open_database(f"sqlite:///{path}"))
    while True:
        store.add(a_job())


def test_backups_under_writers_are_all_sound(ledger: Ftctl):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=write_on, args=(str(ledger.home / "ftctl.db"),), daemon=True)
        for _ in range(2)
    ]
    for writer in writers:
        writer.start()
    try:
        for number in range(5):
            copy = ledger.home / f"copy{number}.db"
            assert ledger("db", "backup", copy).code == 0
            assert not health.check(f"sqlite:///{copy}").problems
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    # Killed while they wrote: the database is as sound as before.
    assert not health.check(f"sqlite:///{ledger.home / 'ftctl.db'}").problems


def test_the_doctor_finds_what_is_wrong(ledger: Ftctl):
    good = ledger("doctor", "--json")
    assert good.code == 0, good.out
    (ledger.home / "ftctl.db").chmod(0o644)
    bad = ledger("doctor", "--json")
    assert bad.code == 3
    found = [each for each in bad.json["findings"] if each["state"] == "bad"]
    assert [each["check"] for each in found] == ["files"]
    assert "chmod 600" in found[0]["hint"]
    (ledger.home / "ftctl.db").write_bytes(b"ruined" * 4000)
    assert ledger("doctor").code == 5


def test_the_doctor_makes_nothing(ftctl: Ftctl):
    assert ftctl("doctor").code == 0
    assert not list(ftctl.home.iterdir())


def test_a_network_file_system_is_refused(ledger: Ftctl, monkeypatch: pytest.MonkeyPatch):
    assert disks.network_file_system(ledger.home / "not" / "there" / "yet") is None
    monkeypatch.setattr(disks, "network_file_system", lambda _: "NFS")
    outcome = ledger("status")
    assert outcome.code == 5
    assert "network file system (NFS)" in outcome.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what is read-only")
def test_a_database_that_may_not_be_written_is_one_sentence(ledger: Ftctl):
    (ledger.home / "ftctl.db").chmod(0o400)
    ledger.home.chmod(0o500)
    try:
        outcome = ledger("sync")
    finally:
        ledger.home.chmod(0o700)
    assert outcome.code == 5
    assert "Traceback" not in outcome.err


def fill_up(path: str) -> str:
    """Write until the disk, which ends early for this process, is full."""
    limit = Path(path).stat().st_size + 150_000
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    store = SqlJobStore(database.open_database(f"sqlite:///{path}"))
    done = 0
    try:
        while True:
            store.add(a_job(raw={"filling": "x" * 4000}))
            done += 1
    except LocalStateError as error:
        return f"{done} {error.message}"


def test_a_full_disk_is_one_sentence_and_every_acknowledged_row_is_there(ledger: Ftctl):
    path = ledger.home / "ftctl.db"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        done, said = pool.apply(fill_up, [str(path)]).split(maxsplit=1)
    assert "disk" in said
    found = health.check(f"sqlite:///{path}")
    assert not found.problems
    assert found.rows["jobs"] == 3 + int(done)


def counts(url: str) -> dict[str, int]:
    return {name: n for name, n in health.check(url).rows.items() if name != "alembic_version"}


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_up_down_up_keeps_the_rows_of_every_table_that_stays(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if backend == "postgresql":
        url = request.getfixturevalue("postgresql").new_url()
    populated(url, tmp_path)
    engine = database.connect(url)
    before = counts(url)
    assert before["transitions"] == 6
    for down in migrations.revisions()[-2::-1]:
        migrations.downgrade(engine, down)
        after = counts(url)
        assert after.items() <= before.items(), f"rows were lost going down to {down}"
    migrations.upgrade(engine)
    assert counts(url) == before
    assert not health.check(url).problems
    engine.dispose()


def test_a_migration_that_dies_leaves_the_old_schema(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    populated(url, tmp_path)
    engine = database.connect(url)
    migrations.downgrade(engine, "0001")
    before = counts(url)

    class DiedError(BaseException):
        pass

    statements, dies_at = 0, 0

    @event.listens_for(engine, "before_cursor_execute")
    def _count(_c: Connection, _cursor: object, statement: str, *_: object) -> None:
        nonlocal statements
        statements += statement.lstrip().upper().startswith(("ALTER", "CREATE", "UPDATE"))
        if statements == dies_at:
            raise DiedError

    for number in range(1, 6):
        statements, dies_at = 0, number
        with pytest.raises(DiedError):
            migrations.upgrade(engine)
        dies_at = -1
        assert migrations.current(engine) == "0001"
        assert counts(url) == before
    migrations.upgrade(engine)
    assert migrations.current(engine) == migrations.head()
    engine.dispose()


def test_postgresql_has_the_tables_of_the_code(postgresql: Server):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    engine = database.open_database(postgresql.new_url())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert inspect(connection).has_table("gates")
    engine.dispose()


def test_an_error_of_the_database_tells_no_row(tmp_path: Path):
    engine = database.open_database(f"sqlite:///{tmp_path / 'ledger.db'}")
    secret = "what a dataset held"
    with pytest.raises(LocalStateError) as caught, engine.begin() as connection:
        connection.execute(select(func.no_such_function(secret)))
    assert secret not in str(caught.value)
    from sqlalchemy.exc import IntegrityError

    from orchestrator.store.tables import job_rows

    with pytest.raises(IntegrityError) as broken, engine.begin() as connection:
        connection.execute(insert(job_rows).values(id=secret))
    assert secret not in str(broken.value)
    engine.dispose()


def test_the_timer_runs_sync_in_this_home(ftctl: Ftctl):
    outcome = ftctl("cron", "--systemd", "--every", "7")
    assert outcome.code == 0
    assert f"Environment=FTCTL_HOME={ftctl.home}" in outcome.out
    assert "OnCalendar=*:0/7" in outcome.out
    assert " sync\n" in outcome.out
    assert list(ftctl("cron", "--systemd", "--json").json) == ["systemd"]
