"""Which columns a segment has, so that those of earlier versions are told and written anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("segments", sa.Column("format", _BIG, nullable=False, server_default="1"))


def downgrade() -> None:
    # Earlier versions cannot merge newer files with theirs: they make all of them anew.
    op.execute("UPDATE segments SET state = 'dropped', since_us = 0 WHERE kind <> 'events'")
    op.execute("DELETE FROM projections WHERE name = 'columns'")
    op.drop_column("segments", "format")
