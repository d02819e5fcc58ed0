-- What is usual for a workflow's runs?
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $least: groups of fewer runs are left out.
-- Grain       One row per (workflow) of completed runs with a known duration above 0.
-- Columns     workflow
--             n         how many runs that is
--             middle    the median of the natural logarithm of their durations
--             scale     what a standard deviation of it would be, see unusual_runs.sql
-- The deviations come after the medians, and both read runs anew: either holds all values.
WITH logged AS NOT MATERIALIZED (
    SELECT workflow, ln(duration_us) AS x
    FROM runs
    WHERE status = 'completed' AND duration_us > 0
),
groups AS MATERIALIZED (
    SELECT workflow, count(*) AS n, median(x) AS middle
    FROM logged
    GROUP BY ALL
    HAVING count(*) >= $least
)
SELECT
    workflow,
    n,
    middle,
    CASE
        WHEN median(abs(x - middle)) > 0 THEN median(abs(x - middle)) / 0.6745
        ELSE 1.2533 * avg(abs(x - middle))
    END AS scale
FROM logged
JOIN groups USING (workflow)
GROUP BY ALL
