"""Is this database at our schema, and how it gets there. Alembic does the work.

An empty database is set up. One at an older revision is upgraded only on request; anything else
(a newer revision, tables that are not ours) is refused with a line that says what to do.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from recorder.errors import SchemaError
from recorder.store.engine import Database
from recorder.store.tables import metadata

_POSTGRES_LOCK = 0x_FA1_0_1
"""Advisory lock that keeps two processes from migrating one database at the same time."""


def alembic_config() -> Config:
    """Alembic's configuration, from the installed `migrations` package."""
    spec = find_spec("migrations")
    assert spec is not None
    assert spec.origin is not None
    config = Config()
    config.set_main_option("script_location", str(Path(spec.origin).parent))
    return config


def prepare(database: Database, *, migrate: bool) -> None:
    """Makes sure the database is at our schema.

    Args:
        database: What to look at.
        migrate: Whether an older schema may be upgraded.

    Raises:
        SchemaError: The schema is older and `migrate` is off, newer, or not ours.
        LogUnavailable: The database does not answer.
    """
    config = alembic_config()
    with database.reading() as connection:
        if _revision(connection) == _newest(config):
            return
    with database.writing() as connection:
        _lock(connection, database)
        current = _revision(connection)
        if current == _newest(config):
            return
        _check(connection, config, current, migrate=migrate)
        upgrade(connection, config)


def upgrade(connection: Connection, config: Config | None = None, revision: str = "head") -> None:
    """Walks the schema up to a revision inside the caller's transaction."""
    config = config or alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Walks the schema down to a revision (`base` for nothing) inside the caller's transaction."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _newest(config: Config) -> str | None:
    return ScriptDirectory.from_config(config).get_current_head()


def _lock(connection: Connection, database: Database) -> None:
    # SQLite's write transaction locks the whole file already.
    if not database.is_sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})


def _check(connection: Connection, config: Config, current: str | None, *, migrate: bool) -> None:
    if current is None:
        if taken := set(inspect(connection).get_table_names()) & set(metadata.tables):
            raise SchemaError(
                f"the database has tables that are not the recorder's ({', '.join(sorted(taken))}); "
                "name another database"
            )
        return
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current not in known:
        raise SchemaError(
            f"the database is at revision {current}, newer than this recorder knows; "
            "upgrade the recorder"
        )
    if not migrate:
        raise SchemaError(
            f"the database is at revision {current}, this recorder needs {_newest(config)}; "
            "run `recorder migrate`, or pass --migrate"
        )
