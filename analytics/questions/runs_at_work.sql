-- When are runs at work?
--
-- Reads       runs (columns as in analytics/schema.py).
-- Parameters  $now_us: what runs still going have come to, microseconds since 1970 in UTC.
-- Grain       One row per run whose beginning and end are known, or that goes on.
-- Columns     begin_us, end_us   microseconds since 1970 in UTC. The end is the beginning and the
--                                duration (a monotonic clock's), not the wall clock's end.
-- Not ordered.
SELECT
    epoch_us(opened_at) AS begin_us,
    CASE
        WHEN status = 'running' AND closed_at IS NULL THEN greatest($now_us, epoch_us(opened_at))
        ELSE epoch_us(opened_at) + duration_us
    END AS end_us
FROM runs
WHERE opened_at IS NOT NULL
    AND (duration_us >= 0 OR (status = 'running' AND closed_at IS NULL))
