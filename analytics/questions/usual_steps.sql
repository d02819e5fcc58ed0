-- What is usual for a node's steps?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $least: groups of fewer steps are left out.
-- Grain       One row per (workflow, node_id) of completed steps with a known duration above 0.
-- Columns     workflow, node_id
--             n         how many steps that is
--             middle    the median of the natural logarithm of their durations
--             scale     what a standard deviation of it would be, see unusual_steps.sql
-- The deviations come after the medians, and both read steps anew: either holds all values.
WITH logged AS NOT MATERIALIZED (
    SELECT workflow, node_id, ln(duration_us) AS x
    FROM steps
    WHERE status = 'completed' AND duration_us > 0
),
groups AS MATERIALIZED (
    SELECT workflow, node_id, count(*) AS n, median(x) AS middle
    FROM logged
    GROUP BY ALL
    HAVING count(*) >= $least
)
SELECT
    workflow, node_id,
    n,
    middle,
    CASE
        WHEN median(abs(x - middle)) > 0 THEN median(abs(x - middle)) / 0.6745
        ELSE 1.2533 * avg(abs(x - middle))
    END AS scale
FROM logged
JOIN groups USING (workflow, node_id)
GROUP BY ALL
