"""Who is recording what, and what log a projection was made from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recorders",
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("beat", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("instance", name="pk_recorders"),
    )
    op.create_table(
        "open_runs",
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("recorder", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_open_runs"),
    )
    op.create_index("ix_open_runs_recorder", "open_runs", ["recorder"])
    # The log's chain at a checkpoint: tells a log that was restored from an older backup.
    op.add_column("projections", sa.Column("chain", sa.LargeBinary))
    # Runs an earlier version left open belong to nobody that is alive, so they will be closed.
    op.execute(
        "INSERT INTO open_runs (request_id, recorder) "
        "SELECT request_id, 'before 0002' FROM events WHERE type = 'opened' AND NOT EXISTS "
        "(SELECT 1 FROM events AS ends WHERE ends.request_id = events.request_id "
        "AND ends.type = 'closed')"
    )


def downgrade() -> None:
    op.drop_column("projections", "chain")
    op.drop_table("open_runs")
    op.drop_table("recorders")
