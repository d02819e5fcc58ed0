"""The tables, as SQLAlchemy metadata; `migrations/` creates the same, triggers included.

Wall-clock columns (`…_at`) are microseconds since 1970 in UTC, as integers: exact, sortable, and the
same bytes in the hash chain on every database.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

# SQLite makes a primary key the table's own row number only if its type is INTEGER.
BigInt = BigInteger().with_variant(Integer, "sqlite")

_HAS_STEP_ID = text("step_request_id IS NOT NULL")

events = Table(
    "events",
    metadata,
    Column("position", BigInt, primary_key=True, autoincrement=False),
    Column("request_id", Text, nullable=False),
    Column("seq", BigInt, nullable=False),
    Column("type", Text, nullable=False),
    Column("node_id", Text),
    Column("app_id", Text),
    Column("step_request_id", Text),
    Column("received_at", BigInt, nullable=False),
    Column("elapsed_us", BigInt, nullable=False),
    Column("frame", LargeBinary),
    Column("salt", LargeBinary),
    Column("frame_digest", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    UniqueConstraint("request_id", "seq"),
    Index(None, "step_request_id", sqlite_where=_HAS_STEP_ID, postgresql_where=_HAS_STEP_ID),
    Index(None, "received_at"),
)

log_head = Table(
    "log_head",
    metadata,
    Column(
        "id",
        Integer,
        CheckConstraint("id = 1", name="one_row"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("epoch", Text, nullable=False),
    Column("position", BigInt, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)

recorders = Table(
    "recorders",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("beat", BigInt, nullable=False),
)
"""Who appends to the log; the beat of a living one goes up."""

open_runs = Table(
    "open_runs",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("recorder", Text, nullable=False),
    Index(None, "recorder"),
)
"""The runs that have an `opened` event and no `closed` one, and whose they are."""

projections = Table(
    "projections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("generation", BigInt, nullable=False),
    Column("position", BigInt, nullable=False),
    Column("chain", LargeBinary),
)

runs = Table(
    "runs",
    metadata,
    Column("generation", BigInt, primary_key=True, autoincrement=False),
    Column("request_id", Text, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("opened_at", BigInt),
    Column("closed_at", BigInt),
    Column("duration_us", BigInt),
    Column("first_event_us", BigInt),
    Column("close_reason", Text),
    Column("timed", Integer, nullable=False),
    Column("events", BigInt, nullable=False),
    Column("first_position", BigInt, nullable=False),
    Column("as_of_position", BigInt, nullable=False),
    Column("anomalies", Text, nullable=False),
    Column("error", Text),
    Column("mode", Text, nullable=False, server_default="stream"),
    Column("queue", Text),
    Column("definition", Text),
    Column("input_digest", Text),
    Column("parent", Text),
    Index(None, "generation", "first_position"),
    Index(None, "generation", "workflow", "first_position"),
    Index(None, "generation", "status", "first_position"),
    Index(None, "generation", "opened_at"),
    Index(None, "generation", "input_digest", "first_position"),
)

steps = Table(
    "steps",
    metadata,
    Column("generation", BigInt, primary_key=True, autoincrement=False),
    Column("request_id", Text, primary_key=True),
    Column("node_id", Text, primary_key=True),
    Column("attempt", BigInt, primary_key=True, autoincrement=False),
    Column("first_seq", BigInt, nullable=False),
    Column("app_id", Text),
    Column("step_request_id", Text),
    Column("status", Text, nullable=False),
    Column("submitted_us", BigInt),
    Column("finished_us", BigInt),
    Column("inference_us", BigInt),
    Column("error", Text),
    Index(None, "generation", "step_request_id"),
    Index(None, "generation", "app_id", "request_id"),
)

definitions = Table(
    "definitions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("definition", LargeBinary, nullable=False),
)
"""Definitions of workflows, named by the sha256 of their bytes; runs name theirs."""
