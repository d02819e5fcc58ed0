"""Which runs and steps a question is about."""

from __future__ import annotations

import msgspec

from recorder.store.views import refuse_reversed


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask about; what is None does not narrow.

    Attributes:
        workflow: Exact endpoint id.
        node: Exact node id.
        app: Exact app id.
        status: Status of the run.
        definition: Digest of the run's definition.
        since, until: The run was opened at or after, and before; microseconds since 1970 in UTC.
            A step belongs to the window its run belongs to.

    Raises:
        BadQuery: The window ends before it begins.
    """

    workflow: str | None = None
    node: str | None = None
    app: str | None = None
    status: str | None = None
    definition: str | None = None
    since: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        refuse_reversed(self.since, self.until)
