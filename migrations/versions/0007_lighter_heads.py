"""What moving the head costs on SQLite: no journal of the statement, and before the row it makes room for."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_LAST_POSITION = "(SELECT coalesce(max(position), 0) FROM events)"
_HEAD_POSITION = "(SELECT position FROM log_head)"


def upgrade() -> None:
    _guard(_LAST_POSITION, "ROLLBACK")


def downgrade() -> None:
    _guard(_HEAD_POSITION, "ABORT")


def _guard(last_position: str, refusal: str) -> None:
    """Where the events end is asked of the events themselves, as the head may have moved on before.

    SQLite keeps a journal of every update that a trigger may abort by itself; see 0003.
    """
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("DROP TRIGGER events_refuse_replace")
    op.execute(
        "CREATE TRIGGER events_refuse_replace BEFORE INSERT ON events "
        f"WHEN NEW.position <= {last_position} OR EXISTS "
        "(SELECT 1 FROM events WHERE request_id = NEW.request_id AND seq = NEW.seq) "
        "BEGIN SELECT RAISE(ROLLBACK, 'events are append-only: this place is taken'); END"
    )
    op.execute("DROP TRIGGER log_head_refuse_step_back")
    op.execute(
        "CREATE TRIGGER log_head_refuse_step_back BEFORE UPDATE ON log_head "
        "WHEN NEW.position <= OLD.position OR NEW.epoch IS NOT OLD.epoch "
        f"BEGIN SELECT RAISE({refusal}, 'the log head only moves forward'); END"
    )
