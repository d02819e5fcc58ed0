"""What the API takes to compare and to look for changes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from pydantic import Field

from analytics.comparing.queries import (
    BY,
    MEASURES,
    PERCENTILES,
    ChangesQuery,
    CompareQuery,
    Measure,
    numbers,
)
from analytics.comparing.windows import Previous, two_sides
from analytics.moments import Given
from analytics.reporting.queries import ReportQuery
from analytics.selection import Selection
from api.parameters import LatencyParameters, Parameters
from recorder.projections.runs import RunStatus

_PERCENTILES = ",".join(f"{percentile:g}" for percentile in PERCENTILES)
_LIST = "with commas between"


class _SelectionParameters(Parameters):
    workflow: str | None = Field(None, description="Exact endpoint id.")
    node: str | None = Field(None, description="Exact node id.")
    app: str | None = Field(None, description="Exact app id.")
    status: RunStatus | None = Field(None, description="Status of the run.")
    definition: str | None = Field(None, description="Digest of the run's definition.")
    since: Given = Field(
        None, description="Of runs opened at or after: ISO 8601, or ago as 30m, 24h, 7d."
    )
    until: Given = Field(None, description="Of runs opened before, in the same forms.")
    percentiles: str = Field(_PERCENTILES, description=f"Percentiles, {_LIST}.", max_length=400)

    def selected(self) -> dict[str, Any]:
        """The selection, by the names of its fields."""
        return {name: getattr(self, name) for name in Selection.__struct_fields__}


class ReportParameters(LatencyParameters):
    """What to report on, and as what."""

    compare: Previous | None = Field(
        None,
        description="`previous`: compare with the window just before, of the same length; `since` is then "
        "by default seven days ago.",
    )
    format: Literal["json", "html", "md"] = Field(
        "json", description="JSON, one HTML file that needs nothing else, or Markdown."
    )

    def to_query(self) -> ReportQuery:
        """The question.

        Raises:
            BadQuery: `by` makes no sense.
        """
        return ReportQuery(compare=self.compare, **msgspec.structs.asdict(super().to_query()))


class ChangesParameters(_SelectionParameters):
    """What to look through for changes."""

    measure: Measure = Field("duration", description="Of steps; whole runs have a duration.")

    def to_query(self) -> ChangesQuery:
        """The question.

        Raises:
            BadQuery: A part of it makes no sense.
        """
        percentiles = numbers("percentiles", self.percentiles)
        return ChangesQuery(measure=self.measure, percentiles=percentiles, **self.selected())


class CompareParameters(_SelectionParameters):
    """What to compare: what is common to both sides, and what only one has."""

    compare: Previous | None = Field(
        None,
        description="`previous`: b is the window `since` to `until`, by default the last seven days, and "
        "a the one just before, as long. So it is where nothing is given for one side alone.",
    )
    a_workflow: str | None = Field(None, description="Of a alone: exact endpoint id.")
    a_node: str | None = Field(None, description="Of a alone: exact node id.")
    a_app: str | None = Field(None, description="Of a alone: exact app id.")
    a_status: RunStatus | None = Field(None, description="Of a alone: status of the run.")
    a_definition: str | None = Field(None, description="Of a alone: digest of the definition.")
    a_since: Given = Field(None, description="Of a alone: opened at or after.")
    a_until: Given = Field(None, description="Of a alone: opened before.")
    b_workflow: str | None = Field(None, description="Of b alone: exact endpoint id.")
    b_node: str | None = Field(None, description="Of b alone: exact node id.")
    b_app: str | None = Field(None, description="Of b alone: exact app id.")
    b_status: RunStatus | None = Field(None, description="Of b alone: status of the run.")
    b_definition: str | None = Field(None, description="Of b alone: digest of the definition.")
    b_since: Given = Field(None, description="Of b alone: opened at or after.")
    b_until: Given = Field(None, description="Of b alone: opened before.")
    by: str = Field(
        ",".join(BY), description=f"What to group steps by: any of workflow, node, app, {_LIST}."
    )
    measures: str = Field(
        ",".join(MEASURES), description=f"Of steps: any of duration, inference, overhead, {_LIST}."
    )

    def to_query(self, now_us: int) -> CompareQuery:
        """The question; windows without an end end now.

        Raises:
            BadQuery: A part of it makes no sense.
        """
        both = Selection(**self.selected())
        of_a, of_b = self._of("a_"), self._of("b_")
        a, b = two_sides(both, of_a, of_b, compare=self.compare, now_us=now_us)
        return CompareQuery(
            a=a,
            b=b,
            by=tuple(self.by.split(",")),  # type: ignore[arg-type]  # checked there
            measures=tuple(self.measures.split(",")),  # type: ignore[arg-type]
            percentiles=numbers("percentiles", self.percentiles),
        )

    def _of(self, side: str) -> dict[str, Any]:
        return {name: getattr(self, side + name) for name in Selection.__struct_fields__}
