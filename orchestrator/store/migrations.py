"""Alembic, driven from inside: the same in a checkout and in an installed wheel.

Every command asks whether the schema is the newest; that is answered without Alembic, which takes
longer to load than the rest of the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, inspect, select

from orchestrator import resources
from orchestrator.domain.errors import LocalStateError
from orchestrator.store.reading import reading

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection


# Any number, the same in every version: who migrates a server waits for who else does.
_LOCK = 0x6674_6374_6C00_0001


def head() -> str:
    """The newest revision this program knows."""
    return revisions()[-1]


def revisions() -> list[str]:
    """Every revision this program knows, oldest first: each file's name begins with its own."""
    files = (resources.folder("migrations") / "versions").glob("[0-9]*_*.py")
    return sorted(file.name.partition("_")[0] for file in files)


def current(engine: Engine) -> str | None:
    """The revision of a database; None for an empty one.

    Raises:
        LocalStateError: the database holds tables of something else.
    """
    with reading(engine) as connection:
        tables = set(inspect(connection).get_table_names())
        version = "SELECT version_num FROM alembic_version"
        # A downgrade to nothing leaves Alembic's own table, empty.
        here = "alembic_version" in tables
        revision: str | None = connection.exec_driver_sql(version).scalar() if here else None
        if revision is None and tables - {"alembic_version"}:
            raise LocalStateError(
                "The database holds tables that ftctl did not make.",
                hint="name another one with FTCTL_DATABASE_URL",
            )
        return revision


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run every migration up to `revision` in one transaction.

    Two processes that start at once take turns: the second finds the work done.

    Raises:
        LocalStateError: a migration left rows that point nowhere; everything was rolled back.
    """
    _run(engine, revision, down=False)


def downgrade(engine: Engine, revision: str) -> None:
    """Run migrations backwards to `revision`, in one transaction."""
    _run(engine, revision, down=True)


def _run(engine: Engine, revision: str, *, down: bool) -> None:
    from alembic import command

    with engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            # Batch migrations copy and drop tables: with foreign keys on, dropping the old table
            # would delete the children. The pragma has no effect inside a transaction.
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                if not sqlite:
                    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
                config = _config(connection)
                (command.downgrade if down else command.upgrade)(config, revision)
                if sqlite:
                    _refuse_orphans(connection)
        finally:
            if sqlite:
                connection.connection.cursor().execute("PRAGMA foreign_keys=ON")


def _refuse_orphans(connection: Connection) -> None:
    orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if orphans:
        raise LocalStateError(
            f"The migration would leave {len(orphans)} rows that point nowhere; nothing was changed."
        )


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option(
        "script_location", str(resources.folder("migrations")).replace("%", "%%")
    )
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
