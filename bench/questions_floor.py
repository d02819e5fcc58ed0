"""What an expert would write by hand for each question: DuckDB's SQL for the same figures, on `runs` and `steps`.

The last text of a question gives the figures of our answer by the names of its columns, in the same order; what
only presents (links, what is the same in every row) is left out. It knows what the material has (no run is
open, steps of a run follow one another, no price but two) and reads no tail; `tests/analytics/test_floors.py`
holds its figures against ours.

Bounds of confidence intervals are picked by rank out of sorted values, for DuckDB's quantiles take no fraction
that differs by group. The ranks are there before the clock starts, see `add_ranks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from analytics.quantiles import ranks
from bench.questions_floor_time import FLOORS_OF_TIME

_PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)
_CONFIDENCE: Final = 0.95


def _percentiles(of: str, by: str, names: str, measures: Sequence[str]) -> str:
    """Of every measure, sorted once: percentiles, their bounds, mean and maximum."""
    lists = ", ".join(
        f"list_sort(list({name}_us) FILTER ({name}_us IS NOT NULL)) AS {name}" for name in measures
    )
    each = " UNION ALL ".join(
        f"SELECT {names}, {place} AS place, '{name}' AS measure, {name} AS x, coalesce(len({name}), 0) AS n "
        "FROM sorted"
        for place, name in enumerate(measures)
    )
    return f"""
    WITH sorted AS MATERIALIZED (
        SELECT {by}, {lists} FROM {of} WHERE status = 'completed' GROUP BY ALL
    ),
    picked AS (
        SELECT {names}, place, measure, n, list_avg(x) AS mean_us, x[n] AS max_us,
            percentiles, between, list_select(x, below) AS below, list_select(x, above) AS above,
            list_select(x, low) AS low, list_select(x, high) AS high
        FROM ({each}) JOIN ranks USING (n)
    ),
    told AS (
        SELECT {names}, place, measure, n, mean_us, max_us, unnest(percentiles) AS percentile,
            unnest(between) AS between, unnest(below) AS below, unnest(above) AS above,
            unnest(low) AS low_us, unnest(high) AS high_us
        FROM picked
    )
    SELECT {names}, measure, n, round(mean_us, 3) AS mean_us, max_us, percentile,
        round(below + between * (above - below), 3) AS value_us, low_us, high_us
    FROM told
    ORDER BY {names}, place, percentile
    """


_LATENCY: Final[dict[str, tuple[str, str, str, Sequence[str]]]] = {
    "latency": (
        "steps",
        "workflow, node_id AS node, app_id AS app",
        "workflow, node, app",
        ("duration", "inference", "overhead"),
    ),
    "latency, by app and hour": (
        "steps",
        "app_id AS app, date_trunc('hour', opened_at) AS bucket_at",
        "app, bucket_at",
        ("duration", "inference", "overhead"),
    ),
    "latency of runs": (
        "runs",
        "workflow",
        "workflow",
        ("duration", "first_event", "queued"),
    ),
    "first-event": ("runs", "workflow", "workflow", ("first_event",)),
}


def add_ranks(bare: duckdb.DuckDBPyConnection, name: str) -> None:
    """Makes the table `ranks` for the sizes of a question's groups, where it has confidence intervals."""
    if name not in _LATENCY:
        return
    of, by, _, measures = _LATENCY[name]
    counts = ", ".join(f"count({measure}_us)" for measure in measures)
    query = f"SELECT {by}, [{counts}] AS sizes FROM {of} WHERE status = 'completed' GROUP BY ALL"
    sizes = np.unique(bare.sql(f"SELECT unnest(sizes) AS n FROM ({query})").fetchnumpy()["n"])
    bare.register("told", _ranks(sizes))
    bare.execute("CREATE OR REPLACE TEMP TABLE ranks AS SELECT * FROM told")
    bare.unregister("told")


def _ranks(sizes: Any) -> pa.Table:
    """From 1, a list over the percentiles each; a percentile lies so far `between` two neighbours."""
    shares = np.array(_PERCENTILES) / 100
    low, high = zip(*(ranks(sizes, share, _CONFIDENCE) for share in shares), strict=True)
    place = np.maximum(sizes - 1, 0)[:, None] * shares
    below = np.floor(place).astype(np.int64)
    columns = {
        "percentiles": np.broadcast_to(_PERCENTILES, place.shape),
        "between": place - below,
        "below": below + 1,
        "above": np.minimum(below + 2, sizes[:, None]),
        "low": np.stack(low, axis=1),
        "high": np.stack(high, axis=1),
    }
    return pa.table({"n": sizes} | {name: each.tolist() for name, each in columns.items()})


def _unusual(of: str, by: str, show: str) -> str:
    return f"""
    WITH logged AS (
        SELECT {by}, ln(duration_us) AS x FROM {of} WHERE status = 'completed' AND duration_us > 0
    ),
    scales AS MATERIALIZED (
        SELECT {by}, count(*) AS n, median(x) AS middle, mad(x) / 0.6745 AS scale
        FROM logged GROUP BY ALL HAVING count(*) >= 10
    )
    SELECT {show}, (ln(duration_us) - middle) / scale AS score, exp(middle) AS typical_us, n
    FROM {of} JOIN scales USING ({by})
    WHERE status = 'completed' AND duration_us > 0 AND abs(ln(duration_us) - middle) >= 3.5 * scale
    ORDER BY abs(score) DESC LIMIT 20
    """


_HEATMAP: Final = """
SELECT
    bucket_at,
    ceil(pow(10, bin / 5))::BIGINT AS low_us,
    ceil(pow(10, (bin + 1) / 5))::BIGINT AS high_us,
    n
FROM (SELECT
    date_trunc('hour', opened_at) AS bucket_at,
    floor(log10(duration_us) * 5) AS bin,
    count(*) AS n
FROM {of} WHERE status = 'completed' AND duration_us > 0 GROUP BY ALL)
ORDER BY bucket_at, bin
"""

_FAILURES: Final = """
SELECT
    '{of}' AS of, error_kind AS kind, {app} AS app, error_field AS field,
    count(*) AS failures, count(DISTINCT request_id) AS runs,
    min(opened_at) AS first_at, max(opened_at) AS last_at,
    arg_max(
        {{'id': request_id, 'status': error_status, 'text': error_message}}, (opened_at, request_id)
    ) AS last
FROM {of} WHERE error_kind IS NOT NULL AND status <> 'completed' GROUP BY ALL
"""

_PRICED: Final = """
WITH priced AS (
    SELECT {by}, count(*) AS steps,
        sum(images * image_width * image_height) FILTER (WHERE app_id = 'fal-ai/flux') AS pixels,
        sum(inference_us) FILTER (WHERE app_id = 'fal-ai/fast-sdxl') AS busy_us,
        count(*) FILTER (WHERE app_id NOT IN ('fal-ai/flux', 'fal-ai/fast-sdxl')) AS unpriced_steps,
        count(*) FILTER (
            WHERE (app_id = 'fal-ai/flux' AND images * image_width * image_height IS NULL)
            OR (app_id = 'fal-ai/fast-sdxl' AND inference_us IS NULL)
        ) AS unknown_steps
    FROM steps WHERE status = 'completed' GROUP BY ALL
)
SELECT {names}, steps,
    CASE WHEN pixels IS NOT NULL OR busy_us IS NOT NULL THEN
        coalesce(pixels::DECIMAL(20, 0) * 0.000000025::DECIMAL(9, 9), 0)
        + coalesce(busy_us::DECIMAL(20, 0) * 0.00000000111::DECIMAL(12, 11), 0)
    END AS cost,
    unpriced_steps, unknown_steps
FROM priced ORDER BY cost DESC NULLS LAST, {names} LIMIT 1000
"""

_SIZES: Final = """
WITH sized AS (
    SELECT workflow, node_id AS node, app_id AS app, image_width AS width, image_height AS height,
        count(*) AS steps, sum(images)::BIGINT AS images
    FROM steps WHERE status = 'completed' GROUP BY ALL
)
SELECT *, steps / sum(steps) OVER (PARTITION BY workflow, node, app) AS share
FROM sized ORDER BY steps DESC, workflow, node, app, width, height LIMIT 100
"""

FLOORS: Final[dict[str, list[str]]] = {
    **{name: [_percentiles(*told)] for name, told in _LATENCY.items()},
    "throughput": [
        """
        WITH opened AS (
            SELECT date_trunc('hour', opened_at) AS bucket_at, count(*) AS opened FROM runs GROUP BY ALL
        ),
        closed AS (
            SELECT date_trunc('hour', closed_at) AS bucket_at, count(*) AS finished,
                count(*) FILTER (status = 'completed') AS completed,
                count(*) FILTER (status = 'failed') AS failed,
                count(*) FILTER (status = 'interrupted') AS interrupted,
                count(*) FILTER (status = 'cancelled') AS cancelled
            FROM runs GROUP BY ALL
        ),
        both_of AS (SELECT * FROM opened FULL JOIN closed USING (bucket_at)),
        buckets AS (
            SELECT unnest(generate_series(min(bucket_at), max(bucket_at), INTERVAL 1 HOUR)) AS bucket_at
            FROM both_of
        )
        SELECT bucket_at, coalesce(opened, 0) AS opened, coalesce(finished, 0) AS finished,
            coalesce(completed, 0) AS completed, coalesce(failed, 0) AS failed,
            coalesce(interrupted, 0) AS interrupted, coalesce(cancelled, 0) AS cancelled
        FROM buckets LEFT JOIN both_of USING (bucket_at) ORDER BY bucket_at
        """
    ],
    **FLOORS_OF_TIME,
    "errors": [
        f"""
        WITH of_app AS MATERIALIZED (SELECT app_id AS app, count(*) AS total FROM steps GROUP BY ALL),
        failures AS (
            {_FAILURES.format(of="runs", app="NULL")} UNION ALL {_FAILURES.format(of="steps", app="app_id")}
        )
        SELECT of, kind, failures.app, field, failures,
            failures / CASE of WHEN 'runs' THEN (SELECT count(*) FROM runs)
                ELSE (SELECT sum(total) FROM of_app) END AS share,
            failures / total AS share_of_app,
            runs, first_at, last_at, last.id AS request_id, last.status AS status, last.text AS message
        FROM failures LEFT JOIN of_app ON of = 'steps' AND of_app.app = failures.app
        ORDER BY of, failures DESC, kind, failures.app, field LIMIT 100
        """
    ],
    "heatmap": [_HEATMAP.format(of="steps")],
    "heatmap of runs": [_HEATMAP.format(of="runs")],
    "slowest": [
        "SELECT request_id, workflow, status, opened_at, duration_us FROM runs "
        "ORDER BY duration_us DESC LIMIT 20"
    ],
    "slowest steps": [
        "SELECT request_id, workflow, node_id AS node, attempt, app_id AS app, status, opened_at, "
        "duration_us, inference_us, overhead_us FROM steps ORDER BY duration_us DESC LIMIT 20"
    ],
    "unusual": [_unusual("runs", "workflow", "request_id, workflow, opened_at, duration_us")],
    "unusual steps": [
        _unusual(
            "steps",
            "workflow, node_id",
            "request_id, workflow, node_id AS node, attempt, app_id AS app, opened_at, duration_us, "
            "inference_us, overhead_us",
        )
    ],
    "outputs": [
        """
        SELECT workflow, node_id AS node, app_id AS app, count(*) AS steps,
            count(*) FILTER (WHERE images > 0) AS with_images, sum(images)::BIGINT AS images,
            count(DISTINCT image_width * 4294967296 + image_height) AS sizes, count(seed) AS seeds,
            sum(nsfw)::BIGINT AS flagged, sum(nsfw) / sum(images) AS flagged_share
        FROM steps WHERE status = 'completed' GROUP BY ALL ORDER BY ALL
        """
    ],
    "image-sizes": [_SIZES],
    "repeated-inputs": [
        """
        SELECT workflow, input_digest, count(*) AS runs, count(*) FILTER (WHERE status = 'completed') AS completed,
            min(opened_at) AS first_at, max(opened_at) AS last_at,
            arg_min(request_id, first_position) AS request_id
        FROM runs GROUP BY ALL HAVING count(*) > 1
        ORDER BY count(*) DESC, workflow, input_digest LIMIT 100
        """
    ],
    "repeated-seeds": [
        """
        SELECT workflow, node_id AS node, seed, count(*) AS steps,
            min(opened_at) AS first_at, max(opened_at) AS last_at,
            arg_min(request_id, (opened_at, request_id)) AS request_id
        FROM steps WHERE status = 'completed' GROUP BY ALL HAVING count(*) > 1
        ORDER BY count(*) DESC, workflow, node, seed LIMIT 100
        """
    ],
    "cost": [_PRICED.format(by="app_id AS app", names="app")],
    "cost by run": [_PRICED.format(by="request_id", names="request_id")],
}
"""By what is asked, as `bench.questions.ASKED` names it: texts that are run one after the other."""
