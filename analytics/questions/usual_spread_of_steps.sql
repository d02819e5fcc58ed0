-- How far are steps from the usual, where more than half of them took the same time?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
--             usual (columns as in usual_steps.sql).
-- Parameters  None.
-- Grain       One row of usual each.
-- Columns     as usual, scale where it was 0 being 1.2533 times the mean absolute deviation from the median
--             of the logarithm, see unusual_steps.sql
SELECT
    workflow, node_id,
    any_value(n) AS n,
    any_value(middle) AS middle,
    CASE
        WHEN any_value(scale) > 0 THEN any_value(scale)
        ELSE 1.2533 * avg(abs(ln(duration_us) - middle))
    END AS scale
FROM steps
JOIN usual USING (workflow, node_id)
WHERE status = 'completed' AND duration_us > 0
GROUP BY ALL
