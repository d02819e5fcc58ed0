"""What can be asked of a report. Light: the report itself loads scipy."""

from __future__ import annotations

from analytics.comparing.windows import Previous
from analytics.latency import LatencyQuery


class ReportQuery(LatencyQuery, frozen=True, kw_only=True):
    """What to report on.

    Attributes:
        compare: `previous` compares the window with the one just before it, of the same length; one
            without a start is then seven days long, one without an end ends now.

    Raises:
        BadQuery: See `LatencyQuery`.
    """

    compare: Previous | None = None
