-- How many runs began, what became of them, and how long did they take, over time?
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $since_us: where the first bucket begins, in microseconds since 1970.
--             $bucket_us: how long one is.
-- Grain       One row per bucket in which a run was opened.
-- Columns     bucket             its number, from 0
--             runs               opened in it
--             completed          of these
--             failed             of these, failed or interrupted
--             p50_us, p95_us     of the duration of the completed ones; NULL where none is known
SELECT
    (epoch_us(opened_at) - $since_us::BIGINT) // $bucket_us::BIGINT AS bucket,
    count(*) AS runs,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status IN ('failed', 'interrupted')) AS failed,
    quantile_cont(duration_us, 0.5) FILTER (WHERE status = 'completed') AS p50_us,
    quantile_cont(duration_us, 0.95) FILTER (WHERE status = 'completed') AS p95_us
FROM runs
WHERE opened_at IS NOT NULL
GROUP BY bucket
ORDER BY bucket
