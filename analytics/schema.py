"""The columns of `runs`, `steps` and `events`, as questions, the SQL console, Parquet and exports see them.

Times of day are UTC without a zone, at microseconds; all other times are whole microseconds (`_us`), and
those within a run count from its request on a monotonic clock. What is unknown is NULL, never 0 or ''.
Ids are as the log lifts them: an over-long one is its digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

MOMENT: Final = pa.timestamp("us")

FIRST_MOMENT_US: Final = -62_135_596_800_000_000
AFTER_LAST_MOMENT_US: Final = 253_402_300_800_000_000
"""The years 1 to 9999. A time outside them is nobody's clock and is NULL; few programs could show it."""

_FACTS: Final = {
    "images": pa.int64(),
    "image_width": pa.int64(),
    "image_height": pa.int64(),
    "seed": pa.string(),
    "nsfw": pa.int64(),
}
"""Of an output: how many images, the first one's size in pixels, the seed in decimal (it may exceed 64
bits), and how many of the images are flagged."""

_FAILURE: Final = {
    "error_status": pa.int64(),
    "error_kind": pa.string(),
    "error_field": pa.string(),
    "error_message": pa.string(),
}
"""Of a failure: HTTP status; fal's `type` of the first detail, else why the stream broke off, else 'error'; the
field that detail names, joined by dots; one line of text."""

_PATHS: Final = {
    "graph": pa.string(),
    "waited_for": pa.string(),
    "gap_us": pa.int64(),
    "critical": pa.bool_(),
    "node_critical": pa.bool_(),
    "ends_run": pa.bool_(),
    "saved_us": pa.int64(),
}
"""Of a step along its run's graph (`analytics/paths.py`), as far as the run has come: what told who waits for
whom, 'definition' or 'observed'; the node of the step it waited for last, NULL for none; the time from then, or
from the run's beginning, to its submit; whether it is on the run's critical path; whether any attempt of its
node is; whether it is the one that finished last; and by how much the run would end earlier if all attempts of
its node took half as long. All NULL where a step of the run has unknown times, or the run too many steps."""

RUNS: Final = pa.schema(
    {
        "request_id": pa.string(),
        "workflow": pa.string(),  # '' where no event told it
        "source": pa.string(),
        "mode": pa.string(),  # stream, call or queue
        "status": pa.string(),  # running, completed, failed, interrupted or cancelled
        "opened_at": MOMENT,
        "closed_at": MOMENT,
        "duration_us": pa.int64(),  # from the request to the end of the stream
        "first_event_us": pa.int64(),  # from the request to fal's first event
        "queued_us": pa.int64(),  # from the request to the first sight of work, of runs in fal's queue
        "close_reason": pa.string(),
        "timed": pa.bool_(),  # whether times within the run are known
        "events": pa.int64(),
        "anomalies": pa.string(),  # a JSON object of counts by name
        **_FAILURE,
        "definition": pa.string(),  # digest of the workflow's definition
        "input_digest": pa.string(),  # of the canonical input: equal for repeated inputs
        "parent": pa.string(),  # the run this one is a rerun of
        **_FACTS,
        "first_position": pa.int64(),  # of its first event in the log: order of arrival
        "as_of_position": pa.int64(),  # of the last event this row knows
    }
)
"""One row a run."""

STEPS: Final = pa.schema(
    {
        "request_id": pa.string(),
        "workflow": pa.string(),
        "opened_at": MOMENT,  # of the run: steps belong to the window their run belongs to
        "run_status": pa.string(),
        "definition": pa.string(),
        "node_id": pa.string(),
        "attempt": pa.int64(),
        "app_id": pa.string(),  # NULL where no event named one
        "step_request_id": pa.string(),
        "status": pa.string(),  # running, completed, failed or unfinished
        "submitted_us": pa.int64(),  # since the run began
        "finished_us": pa.int64(),
        "duration_us": pa.int64(),  # from submit to finish
        "inference_us": pa.int64(),  # what the app says it took
        "overhead_us": pa.int64(),  # duration less inference; may be negative
        **_PATHS,
        **_FAILURE,
        **_FACTS,
    }
)
"""One row a step, that is one submission of a node: every attempt has its own."""

EVENTS: Final = pa.schema(
    {
        "position": pa.int64(),
        "request_id": pa.string(),
        "seq": pa.int64(),
        "type": pa.string(),
        "node_id": pa.string(),
        "app_id": pa.string(),
        "step_request_id": pa.string(),
        "received_at": MOMENT,
        "elapsed_us": pa.int64(),
        "frame_bytes": pa.int64(),  # NULL once erased
        "frame": pa.binary(),  # the exact bytes; NULL once erased
    }
)
"""One row an event."""


def moments(times_us: Iterable[int | None]) -> pa.Array:
    """Times of day, given in microseconds since 1970."""
    known = (
        us if us is not None and FIRST_MOMENT_US <= us < AFTER_LAST_MOMENT_US else None
        for us in times_us
    )
    return pa.array(known, MOMENT)
