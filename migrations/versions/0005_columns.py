"""Facts of outputs on runs and steps, and what the columns of analytics need to know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FACTS = ("images", "image_width", "image_height", "seed", "nsfw")
_CHANGED = "ix_runs_generation_as_of_position"
_OPEN = sa.text("closed_at IS NULL")
_NOTE = (
    "INSERT INTO erased_runs (request_id, times) VALUES (OLD.request_id, 1) "
    "ON CONFLICT (request_id) DO UPDATE SET times = erased_runs.times + 1;"
)


def upgrade() -> None:
    # What earlier versions folded knows nothing of the new columns: it is folded again when next read.
    op.execute("DELETE FROM steps")
    op.execute("DELETE FROM runs")
    op.execute("UPDATE projections SET position = 0, chain = NULL")
    for table in ("runs", "steps"):
        for name in _FACTS:
            op.add_column(table, sa.Column(name, sa.Text if name == "seed" else _BIG))
    op.create_index(_CHANGED, "runs", ["generation", "as_of_position"])
    op.create_index(
        "ix_runs_open", "runs", ["generation"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_table(
        "segments",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("rows", _BIG, nullable=False),
        sa.Column("size_bytes", _BIG, nullable=False),
        sa.Column("first_opened_at", _BIG),
        sa.Column("last_opened_at", _BIG),
        sa.Column("since_us", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_segments"),
    )
    op.create_table(
        "erased_runs",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("times", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_erased_runs"),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER events_note_erasure AFTER UPDATE ON events "
            f"WHEN OLD.frame IS NOT NULL AND NEW.frame IS NULL BEGIN {_NOTE} END"
        )
        return
    op.execute(
        "CREATE FUNCTION events_note_erasure() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"{_NOTE} RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_note_erasure AFTER UPDATE ON events FOR EACH ROW "
        "WHEN (OLD.frame IS NOT NULL AND NEW.frame IS NULL) "
        "EXECUTE FUNCTION events_note_erasure()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_note_erasure")
    else:
        op.execute("DROP TRIGGER events_note_erasure ON events")
        op.execute("DROP FUNCTION events_note_erasure()")
    op.execute("DELETE FROM projections WHERE name = 'columns'")
    op.drop_table("erased_runs")
    op.drop_table("segments")
    op.drop_index("ix_runs_open", "runs")
    op.drop_index(_CHANGED, "runs")
    for table in ("runs", "steps"):
        for name in reversed(_FACTS):
            op.drop_column(table, name)
