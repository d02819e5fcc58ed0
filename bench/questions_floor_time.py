"""Floors of the questions about time and load: hand-written SQL with the same figures as the answers.

How many are at work when something begins is a running sum over all beginnings and ends, of which those of the
same moment count together.
"""

from __future__ import annotations

from typing import Final

_HOUR_US: Final = 3_600_000_000

_RUNS: Final = """
SELECT epoch_us(opened_at) AS moment, 1 AS change FROM runs
UNION ALL SELECT epoch_us(opened_at) + duration_us, -1 FROM runs
"""
_STEPS: Final = """
SELECT epoch_us(opened_at) + submitted_us AS moment, 1 AS change FROM steps
UNION ALL SELECT epoch_us(opened_at) + finished_us, -1 FROM steps
"""

# An end on the hour is the last of the hour before.
_CONCURRENCY: Final = f"""
WITH work AS ({{work}}),
reached AS (SELECT moment, change, sum(change) OVER (ORDER BY moment) AS level FROM work),
most AS (
    SELECT moment // {_HOUR_US} AS hour, max(level) AS most FROM reached WHERE change = 1 GROUP BY ALL
),
placed AS (
    SELECT moment, change, (moment - (change = -1)::BIGINT) // {_HOUR_US} AS hour FROM work
),
changes AS (
    SELECT hour, sum(change) AS change, sum(change * ((hour + 1) * {_HOUR_US} - moment)) AS area
    FROM placed GROUP BY ALL
),
hours AS (SELECT unnest(range(min(hour), max(hour) + 1)) AS hour FROM changes),
levels AS (
    SELECT hour, area, coalesce(sum(change) OVER (
        ORDER BY hour ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
    FROM hours LEFT JOIN changes USING (hour)
)
SELECT make_timestamp(hour * {_HOUR_US}) AS bucket_at,
    greatest(before, coalesce(most, 0)) AS {{of}}_max,
    before + coalesce(area, 0) / {_HOUR_US} AS {{of}}_mean
FROM levels LEFT JOIN most USING (hour) ORDER BY hour
"""

_LOAD: Final = """
WITH changes AS (
    SELECT app_id, epoch_us(opened_at) + submitted_us AS moment, 1 AS change,
        CASE WHEN status = 'completed' THEN duration_us END AS duration_us
    FROM steps
    UNION ALL
    SELECT app_id, epoch_us(opened_at) + finished_us, -1, NULL FROM steps
),
loads AS (
    SELECT app_id, duration_us, sum(change) OVER (PARTITION BY app_id ORDER BY moment) - 1 AS others
    FROM changes
)
SELECT app_id AS app, CASE WHEN others > 0 THEN ceil(log2(others)) ELSE -1 END AS load,
    count(*) AS n, avg(duration_us) AS mean_us, max(duration_us) AS max_us,
    quantile_cont(duration_us, [0.5, 0.95]) AS values_us
FROM loads WHERE duration_us IS NOT NULL GROUP BY ALL ORDER BY app, load
"""

_DURATIONS: Final = """
SELECT workflow, node_id AS node, count(*) AS steps,
    sum(duration_us) AS duration_total_us, median(duration_us) AS duration_p50_us,
    sum(inference_us) AS inference_total_us, median(inference_us) AS inference_p50_us
FROM steps WHERE status = 'completed' AND run_status = 'completed' GROUP BY ALL
"""

_GAPS: Final = """
SELECT workflow, node_id AS node, sum(overhead_us) AS overhead_total_us,
    median(overhead_us) AS overhead_p50_us, sum(gap_us) AS gap_total_us, median(gap_us) AS gap_p50_us
FROM steps WHERE run_status = 'completed' GROUP BY ALL
"""

_CRITICAL_PATH: Final = """
WITH of_nodes AS (
    SELECT workflow, definition, graph, node_id AS node, count(*) AS runs_of_node,
        count(*) FILTER (WHERE node_critical) AS on_path, count(*) FILTER (WHERE ends_run) AS ends,
        sum(saved_us) AS saved_us,
        median(CASE WHEN node_critical THEN saved_us END) AS saved_p50_us
    FROM steps WHERE run_status = 'completed' GROUP BY ALL
),
measured AS (
    SELECT *, sum(ends) OVER (PARTITION BY workflow, definition, graph) AS runs FROM of_nodes
),
completed AS (
    SELECT workflow, definition, count(*) AS completed
    FROM runs WHERE status = 'completed' GROUP BY ALL
)
SELECT workflow, definition, graph, node, runs, completed - runs AS left_out, runs_of_node, on_path,
    on_path / runs AS share, saved_us / runs AS saved_mean_us, saved_p50_us
FROM measured JOIN completed USING (workflow, definition)
"""

FLOORS_OF_TIME: Final[dict[str, list[str]]] = {
    "concurrency": [
        _CONCURRENCY.format(work=_RUNS, of="runs"),
        _CONCURRENCY.format(work=_STEPS, of="steps"),
    ],
    "load": [_LOAD],
    # Two scans of two medians each: one of four takes a third longer, and more memory than there is.
    "time-spent": [
        _DURATIONS,
        _GAPS,
        "SELECT workflow, sum(duration_us) FROM runs WHERE status = 'completed' GROUP BY ALL",
    ],
    "critical-path": [_CRITICAL_PATH],
}
"""By what is asked, as `bench.questions.ASKED` names it."""
