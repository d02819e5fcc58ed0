-- How far are runs from the usual, where more than half of them took the same time?
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
--             usual (columns as in usual_runs.sql).
-- Parameters  None.
-- Grain       One row of usual each.
-- Columns     as usual, scale where it was 0 being 1.2533 times the mean absolute deviation from the median
--             of the logarithm, see unusual_runs.sql
SELECT
    workflow,
    any_value(n) AS n,
    any_value(middle) AS middle,
    CASE
        WHEN any_value(scale) > 0 THEN any_value(scale)
        ELSE 1.2533 * avg(abs(ln(duration_us) - middle))
    END AS scale
FROM runs
JOIN usual USING (workflow)
WHERE status = 'completed' AND duration_us > 0
GROUP BY ALL
