"""How a run was called, what the queue told of it, its input, its definition, its parent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = ("queue", "definition", "input_digest", "parent")
_INDEX = "ix_runs_generation_input_digest_first_position"


def upgrade() -> None:
    # What earlier versions folded knows nothing of the new columns: it is folded again when next read.
    op.execute("DELETE FROM steps")
    op.execute("DELETE FROM runs")
    op.execute("UPDATE projections SET position = 0, chain = NULL")
    op.add_column("runs", sa.Column("mode", sa.Text, nullable=False, server_default="stream"))
    for name in _COLUMNS:
        op.add_column("runs", sa.Column(name, sa.Text))
    op.create_index(_INDEX, "runs", ["generation", "input_digest", "first_position"])
    op.create_table(
        "definitions",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("definition", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_definitions"),
    )


def downgrade() -> None:
    op.drop_table("definitions")
    op.drop_index(_INDEX, "runs")
    for name in reversed(("mode", *_COLUMNS)):
        op.drop_column("runs", name)
