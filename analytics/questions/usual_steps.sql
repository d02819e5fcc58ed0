-- What is usual for a node's steps?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $least: groups of fewer steps are left out.
-- Grain       One row per (workflow, node_id) of completed steps with a known duration above 0.
-- Columns     workflow, node_id
--             n         how many steps that is
--             middle    the median of the natural logarithm of their durations
--             scale     what a standard deviation of it would be, see unusual_steps.sql; 0 where more than
--                       half the steps took the same time, see usual_spread_of_steps.sql
SELECT workflow, node_id, count(*) AS n, median(x) AS middle, mad(x) / 0.6745 AS scale
FROM (
    SELECT workflow, node_id, ln(duration_us) AS x
    FROM steps
    WHERE status = 'completed' AND duration_us > 0
)
GROUP BY ALL
HAVING count(*) >= $least
