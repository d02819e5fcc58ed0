"""The event log, its head, its triggers, and the tables of the first projection."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEPT = (
    "position",
    "request_id",
    "seq",
    "type",
    "node_id",
    "app_id",
    "step_request_id",
    "received_at",
    "elapsed_us",
    "frame_digest",
    "chain",
)
"""Columns of `events` that no update may touch; `frame` and `salt` may become NULL, together."""


def upgrade() -> None:
    _create_log()
    _create_projection()
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgres()


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP TRIGGER events_guard ON events")
        op.execute("DROP TRIGGER events_guard_truncate ON events")
        op.execute("DROP TRIGGER log_head_guard ON log_head")
        op.execute("DROP TRIGGER log_head_guard_truncate ON log_head")
    for table in ("steps", "runs", "projections", "log_head", "events"):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION events_guard()")
        op.execute("DROP FUNCTION log_head_guard()")


def _create_log() -> None:
    op.create_table(
        "events",
        sa.Column("position", _BIG, nullable=False, autoincrement=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("seq", _BIG, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("node_id", sa.Text),
        sa.Column("app_id", sa.Text),
        sa.Column("step_request_id", sa.Text),
        sa.Column("received_at", _BIG, nullable=False),
        sa.Column("elapsed_us", _BIG, nullable=False),
        sa.Column("frame", sa.LargeBinary),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("frame_digest", sa.LargeBinary, nullable=False),
        sa.Column("chain", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sa.UniqueConstraint("request_id", "seq", name="uq_events_request_id_seq"),
    )
    op.create_index("ix_events_request_id_node_id", "events", ["request_id", "node_id"])
    op.create_index("ix_events_step_request_id", "events", ["step_request_id"])
    op.create_index("ix_events_received_at", "events", ["received_at"])
    head = op.create_table(
        "log_head",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("position", _BIG, nullable=False),
        sa.Column("chain", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_head"),
        sa.CheckConstraint("id = 1", name=op.f("ck_log_head_one_row")),
    )
    op.bulk_insert(head, [{"id": 1, "epoch": str(uuid.uuid4()), "position": 0, "chain": bytes(32)}])


def _create_projection() -> None:
    projections = op.create_table(
        "projections",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("generation", _BIG, nullable=False),
        sa.Column("position", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_projections"),
    )
    op.bulk_insert(projections, [{"name": "runs", "generation": 1, "position": 0}])
    op.create_table(
        "runs",
        sa.Column("generation", _BIG, nullable=False, autoincrement=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("workflow", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("opened_at", _BIG),
        sa.Column("closed_at", _BIG),
        sa.Column("duration_us", _BIG),
        sa.Column("first_event_us", _BIG),
        sa.Column("close_reason", sa.Text),
        sa.Column("timed", sa.Integer, nullable=False),
        sa.Column("events", _BIG, nullable=False),
        sa.Column("first_position", _BIG, nullable=False),
        sa.Column("as_of_position", _BIG, nullable=False),
        sa.Column("anomalies", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("generation", "request_id", name="pk_runs"),
    )
    for columns in (
        ["generation", "first_position"],
        ["generation", "workflow", "first_position"],
        ["generation", "status", "first_position"],
        ["generation", "opened_at"],
    ):
        op.create_index(f"ix_runs_{'_'.join(columns)}", "runs", columns)
    op.create_table(
        "steps",
        sa.Column("generation", _BIG, nullable=False, autoincrement=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("node_id", sa.Text, nullable=False),
        sa.Column("attempt", _BIG, nullable=False, autoincrement=False),
        sa.Column("first_seq", _BIG, nullable=False),
        sa.Column("app_id", sa.Text),
        sa.Column("step_request_id", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("submitted_us", _BIG),
        sa.Column("finished_us", _BIG),
        sa.Column("inference_us", _BIG),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("generation", "request_id", "node_id", "attempt", name="pk_steps"),
    )
    for columns in (["generation", "step_request_id"], ["generation", "app_id", "request_id"]):
        op.create_index(f"ix_steps_{'_'.join(columns)}", "steps", columns)


def _guard_sqlite() -> None:
    unchanged = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in _KEPT)
    op.execute(
        "CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events "
        f"WHEN NOT (NEW.frame IS NULL AND NEW.salt IS NULL AND {unchanged}) "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only: only frame and salt may be erased'); "
        "END"
    )
    op.execute(
        "CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only: no row may be deleted'); END"
    )
    # INSERT OR REPLACE deletes without asking the trigger above, unless recursive_triggers is on.
    op.execute(
        "CREATE TRIGGER events_refuse_replace BEFORE INSERT ON events "
        "WHEN NEW.position <= (SELECT position FROM log_head) OR EXISTS "
        "(SELECT 1 FROM events WHERE request_id = NEW.request_id AND seq = NEW.seq) "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only: this place is taken'); END"
    )
    op.execute(
        "CREATE TRIGGER log_head_refuse_delete BEFORE DELETE ON log_head "
        "BEGIN SELECT RAISE(ABORT, 'the log head cannot be deleted'); END"
    )
    op.execute(
        "CREATE TRIGGER log_head_refuse_step_back BEFORE UPDATE ON log_head "
        "WHEN NEW.position <= OLD.position OR NEW.epoch IS NOT OLD.epoch "
        "BEGIN SELECT RAISE(ABORT, 'the log head only moves forward'); END"
    )
    op.execute(
        "CREATE TRIGGER log_head_refuse_replace BEFORE INSERT ON log_head "
        "WHEN EXISTS (SELECT 1 FROM log_head) "
        "BEGIN SELECT RAISE(ABORT, 'the log head is there already'); END"
    )


def _guard_postgres() -> None:
    unchanged = " AND ".join(f"NEW.{name} IS NOT DISTINCT FROM OLD.{name}" for name in _KEPT)
    op.execute(
        "CREATE FUNCTION events_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' AND NEW.frame IS NULL AND NEW.salt IS NULL AND {unchanged} "
        "THEN RETURN NEW; END IF; "
        "RAISE EXCEPTION 'events are append-only: % refused', TG_OP; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_guard BEFORE UPDATE OR DELETE ON events "
        "FOR EACH ROW EXECUTE FUNCTION events_guard()"
    )
    op.execute(
        "CREATE TRIGGER events_guard_truncate BEFORE TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_guard()"
    )
    op.execute(
        "CREATE FUNCTION log_head_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'UPDATE' AND NEW.position > OLD.position AND NEW.epoch = OLD.epoch "
        "THEN RETURN NEW; END IF; "
        "RAISE EXCEPTION 'the log head only moves forward: % refused', TG_OP; END $$"
    )
    op.execute(
        "CREATE TRIGGER log_head_guard BEFORE UPDATE OR DELETE ON log_head "
        "FOR EACH ROW EXECUTE FUNCTION log_head_guard()"
    )
    op.execute(
        "CREATE TRIGGER log_head_guard_truncate BEFORE TRUNCATE ON log_head "
        "FOR EACH STATEMENT EXECUTE FUNCTION log_head_guard()"
    )
