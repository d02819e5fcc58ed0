-- How many runs were there, and how long did they take?
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  None.
-- Grain       One row.
-- Columns     runs                  all of them
--             completed, failed, interrupted, cancelled, running
--                                   of each status
--             p50_us, p95_us        of the duration of completed runs, exact, interpolated between
--                                   neighbours; NULL where none is known
--             first_at_us, last_at_us
--                                   when the first and the last was opened, microseconds since 1970
SELECT
    count(*) AS runs,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status = 'interrupted') AS interrupted,
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE status = 'running') AS running,
    quantile_cont(duration_us, 0.5) FILTER (WHERE status = 'completed') AS p50_us,
    quantile_cont(duration_us, 0.95) FILTER (WHERE status = 'completed') AS p95_us,
    epoch_us(min(opened_at)) AS first_at_us,
    epoch_us(max(opened_at)) AS last_at_us
FROM runs
