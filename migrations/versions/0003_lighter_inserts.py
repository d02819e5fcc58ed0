"""What an insert into `events` costs: one index less, one that holds ids only, a cheaper guard."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_HAS_ID = sa.text("step_request_id IS NOT NULL")


def upgrade() -> None:
    # A run's events are found by the unique key (request_id, seq); few of them are of other nodes.
    op.drop_index("ix_events_request_id_node_id", "events")
    # Most events name no step.
    op.drop_index("ix_events_step_request_id", "events")
    op.create_index(
        "ix_events_step_request_id",
        "events",
        ["step_request_id"],
        sqlite_where=_HAS_ID,
        postgresql_where=_HAS_ID,
    )
    _guard_replace("ROLLBACK")


def downgrade() -> None:
    _guard_replace("ABORT")
    op.drop_index("ix_events_step_request_id", "events")
    op.create_index("ix_events_step_request_id", "events", ["step_request_id"])
    op.create_index("ix_events_request_id_node_id", "events", ["request_id", "node_id"])


def _guard_replace(refusal: str) -> None:
    """SQLite keeps a journal of every insert that a trigger may abort by itself.

    One that is refused along with its whole transaction needs none.
    """
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TRIGGER events_refuse_replace")
    op.execute(
        "CREATE TRIGGER events_refuse_replace BEFORE INSERT ON events "
        "WHEN NEW.position <= (SELECT position FROM log_head) OR EXISTS "
        "(SELECT 1 FROM events WHERE request_id = NEW.request_id AND seq = NEW.seq) "
        f"BEGIN SELECT RAISE({refusal}, 'events are append-only: this place is taken'); END"
    )
