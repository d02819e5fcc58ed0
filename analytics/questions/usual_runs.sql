-- What is usual for a workflow's runs?
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $least: groups of fewer runs are left out.
-- Grain       One row per (workflow) of completed runs with a known duration above 0.
-- Columns     workflow
--             n         how many runs that is
--             middle    the median of the natural logarithm of their durations
--             scale     what a standard deviation of it would be, see unusual_runs.sql; 0 where more than
--                       half the runs took the same time, see usual_spread_of_runs.sql
SELECT workflow, count(*) AS n, median(x) AS middle, mad(x) / 0.6745 AS scale
FROM (
    SELECT workflow, ln(duration_us) AS x
    FROM runs
    WHERE status = 'completed' AND duration_us > 0
)
GROUP BY ALL
HAVING count(*) >= $least
