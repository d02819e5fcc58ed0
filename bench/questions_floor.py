"""What an expert would write by hand for each question: SQL for its core figures, on `runs` and `steps`.

Each text knows what the material has (no run is open, steps of a run follow one another, no price but two) and
leaves out what only presents: links, shares, names of columns, the order of rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bench.questions_floor_time import FLOORS_OF_TIME

_FOUR: Final = "[0.5, 0.9, 0.95, 0.99]"


def _measures(names: Iterable[str]) -> str:
    return ", ".join(
        f"count({name}), avg({name}), max({name}), quantile_cont({name}, {_FOUR})" for name in names
    )


_LATENCY: Final = f"""
SELECT {{by}}, {_measures(["duration_us", "inference_us", "overhead_us"])}
FROM steps WHERE status = 'completed' GROUP BY ALL
"""

_SCORED: Final = """
WITH logged AS (
    SELECT {by}, ln(duration_us) AS x FROM {of} WHERE status = 'completed' AND duration_us > 0
),
scales AS (
    SELECT {by}, count(*) AS n, median(x) AS middle, mad(x) / 0.6745 AS scale FROM logged GROUP BY ALL
)
SELECT {show}, (ln(duration_us) - middle) / scale AS score, exp(middle), n
FROM {of} JOIN scales USING ({by})
WHERE status = 'completed' AND duration_us > 0 AND abs(ln(duration_us) - middle) >= 3.5 * scale
ORDER BY abs(score) DESC LIMIT 20
"""

_HEATMAP: Final = """
SELECT date_trunc('hour', opened_at) AS hour, floor(log10(duration_us) * 5) AS bin, count(*)
FROM {of} WHERE status = 'completed' AND duration_us > 0 GROUP BY ALL ORDER BY ALL
"""

_FAILURES: Final = """
SELECT error_kind, {app} AS app, error_field, count(*), count(DISTINCT request_id), min(opened_at),
    max(opened_at), arg_max({{'id': request_id, 'status': error_status, 'text': error_message}}, opened_at)
FROM {of} WHERE error_kind IS NOT NULL GROUP BY ALL
"""

_PRICED: Final = """
SELECT {by}, count(*) AS steps, sum(CASE app_id
    WHEN 'fal-ai/flux' THEN images * image_width * image_height * 0.000000025::DECIMAL(9, 9)
    WHEN 'fal-ai/fast-sdxl' THEN inference_us * 0.00000000111::DECIMAL(12, 11) END) AS cost
FROM steps WHERE status = 'completed' GROUP BY ALL ORDER BY cost DESC NULLS LAST LIMIT 1000
"""

FLOORS: Final[dict[str, list[str]]] = {
    "latency": [_LATENCY.format(by="workflow, node_id, app_id")],
    "latency, by app and hour": [_LATENCY.format(by="app_id, date_trunc('hour', opened_at)")],
    "latency of runs": [
        f"SELECT workflow, {_measures(['duration_us', 'first_event_us', 'queued_us'])} "
        "FROM runs WHERE status = 'completed' GROUP BY ALL"
    ],
    "first-event": [
        f"SELECT workflow, {_measures(['first_event_us'])} "
        "FROM runs WHERE status = 'completed' GROUP BY ALL"
    ],
    "throughput": [
        "SELECT date_trunc('hour', opened_at), count(*) FROM runs GROUP BY ALL",
        "SELECT date_trunc('hour', closed_at), status, count(*) FROM runs GROUP BY ALL",
    ],
    **FLOORS_OF_TIME,
    "errors": [
        _FAILURES.format(of="steps", app="app_id"),
        _FAILURES.format(of="runs", app="NULL"),
        "SELECT app_id, count(*) FROM steps GROUP BY ALL",
        "SELECT count(*) FROM runs",
    ],
    "heatmap": [_HEATMAP.format(of="steps")],
    "heatmap of runs": [_HEATMAP.format(of="runs")],
    "slowest": ["SELECT * FROM runs ORDER BY duration_us DESC LIMIT 20"],
    "slowest steps": ["SELECT * FROM steps ORDER BY duration_us DESC LIMIT 20"],
    "unusual": [
        _SCORED.format(
            of="runs", by="workflow", show="request_id, workflow, opened_at, duration_us"
        )
    ],
    "unusual steps": [
        _SCORED.format(
            of="steps",
            by="workflow, node_id",
            show="request_id, workflow, node_id, attempt, app_id, opened_at, duration_us, inference_us",
        )
    ],
    "outputs": [
        """
        SELECT workflow, node_id, app_id, count(*), count(*) FILTER (WHERE images > 0), sum(images),
            count(DISTINCT image_width * 4294967296 + image_height), count(seed), sum(nsfw)
        FROM steps WHERE status = 'completed' GROUP BY ALL ORDER BY ALL
        """
    ],
    "image-sizes": [
        """
        SELECT workflow, node_id, app_id, image_width, image_height, count(*) AS n, sum(images)
        FROM steps WHERE status = 'completed' GROUP BY ALL ORDER BY n DESC LIMIT 100
        """
    ],
    "repeated-inputs": [
        """
        SELECT workflow, input_digest, count(*) AS n, count(*) FILTER (WHERE status = 'completed'),
            min(opened_at), max(opened_at), arg_min(request_id, first_position)
        FROM runs GROUP BY ALL HAVING n > 1 ORDER BY n DESC LIMIT 100
        """
    ],
    "repeated-seeds": [
        """
        SELECT workflow, node_id, seed, count(*) AS n, min(opened_at), max(opened_at)
        FROM steps WHERE status = 'completed' GROUP BY ALL HAVING n > 1 ORDER BY n DESC LIMIT 100
        """
    ],
    "cost": [_PRICED.format(by="app_id")],
    "cost by run": [_PRICED.format(by="request_id")],
}
"""By what is asked, as `bench.questions.ASKED` names it: texts that are run one after the other."""
