"""Alembic's way into the database; run by `recorder migrate` and by the `alembic` command.

The connection comes from the caller (`config.attributes["connection"]`) or, on the `alembic` command
line, from `-x url=…` or `RECORDER_DATABASE_URL`.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine

from recorder.store.tables import metadata


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=False)
    with context.begin_transaction():
        context.run_migrations()


def _url() -> str:
    url = context.get_x_argument(as_dictionary=True).get("url") or os.environ.get(
        "RECORDER_DATABASE_URL"
    )
    if not url:
        raise SystemExit("name the database with -x url=… or RECORDER_DATABASE_URL")
    return url


if (given := context.config.attributes.get("connection")) is not None:
    _migrate(given)
else:
    # Without a pool the connection is closed when the block ends, however it ends.
    with create_engine(_url(), poolclass=NullPool).connect() as own:
        _migrate(own)
        own.commit()
