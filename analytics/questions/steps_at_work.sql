-- When are steps at work?
--
-- Reads       steps, and of unfinished ones their runs (columns as in analytics/schema.py).
-- Parameters  $now_us: what steps still running have come to, microseconds since 1970 in UTC.
-- Grain       One row per step whose submit is known, and whose end is known, is that of its run since
--             the run ended first (unfinished), or is still to come (running).
-- Columns     begin_us, end_us   microseconds since 1970 in UTC: the run's beginning and the times since
--                                then, which are a monotonic clock's
-- Not ordered.
WITH unfinished AS MATERIALIZED (
    SELECT request_id, epoch_us(opened_at) AS opened_us, submitted_us
    FROM steps
    WHERE status = 'unfinished' AND opened_at IS NOT NULL AND submitted_us IS NOT NULL
)
SELECT
    epoch_us(opened_at) + submitted_us AS begin_us,
    CASE
        WHEN status = 'running' THEN greatest($now_us, epoch_us(opened_at) + submitted_us)
        ELSE epoch_us(opened_at) + greatest(finished_us, submitted_us)
    END AS end_us
FROM steps
WHERE status <> 'unfinished'
    AND opened_at IS NOT NULL
    AND submitted_us IS NOT NULL
    AND (finished_us IS NOT NULL OR status = 'running')
UNION ALL
SELECT opened_us + submitted_us, opened_us + greatest(duration_us, submitted_us)
FROM unfinished
JOIN runs USING (request_id)
WHERE duration_us IS NOT NULL
