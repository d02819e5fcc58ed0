"""The tables, as SQLAlchemy metadata; `migrations/` creates the same, triggers included.

Wall-clock columns (`…_at`) are microseconds since 1970 in UTC, as integers: exact, sortable, and the
same bytes in the hash chain on every database.
"""

from __future__ import annotations

from typing import Any

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


def _output_facts() -> list[Column[Any]]:
    """Of an output, see `recorder.projections.outputs`; the seed in decimal, as it may exceed 64 bits."""
    return [
        Column("images", BigInt),
        Column("image_width", BigInt),
        Column("image_height", BigInt),
        Column("seed", Text),
        Column("nsfw", BigInt),
    ]


_OPEN = text("closed_at IS NULL")

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
    *_output_facts(),
    Index(None, "generation", "first_position"),
    Index(None, "generation", "workflow", "first_position"),
    Index(None, "generation", "status", "first_position"),
    Index(None, "generation", "opened_at"),
    Index(None, "generation", "input_digest", "first_position"),
    # What was not put into segments yet: what has changed since, and what is still open.
    Index(None, "generation", "as_of_position"),
    Index("ix_runs_open", "generation", sqlite_where=_OPEN, postgresql_where=_OPEN),
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
    *_output_facts(),
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

segments = Table(
    "segments",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("rows", BigInt, nullable=False),
    Column("size_bytes", BigInt, nullable=False),
    Column("first_opened_at", BigInt),
    Column("last_opened_at", BigInt),
    Column("since_us", BigInt, nullable=False),
    Column("format", BigInt, nullable=False, server_default="1"),
)
"""Parquet files of columns, see `analytics.segments`: which are being written, count, or are to be deleted."""

erased_runs = Table(
    "erased_runs",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("times", BigInt, nullable=False),
)
"""Runs that lost frames since their events were last put into segments; a trigger counts them up."""
