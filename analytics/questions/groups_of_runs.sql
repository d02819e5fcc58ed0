-- Which groups do runs fall into?
--
-- Reads       runs (columns as in analytics/schema.py).
-- Parameters  $by, $bucket, $any_status: as in latency_of_runs.sql.
-- Grain       One row per group of what $by names.
-- Columns     what $by names, as in latency_of_runs.sql
--             n            how many runs it has
--             stands_for   stands for the group in values_of_runs.sql: a 64-bit hash
WITH groups AS (
    SELECT COLUMNS(lambda name: list_contains($by::VARCHAR[], name)), count(*) AS n
    FROM (
        SELECT
            workflow,
            status,
            definition,
            date_trunc($bucket, opened_at) AS bucket_at,
            0 AS whole
        FROM runs
        WHERE $any_status OR runs.status = 'completed'
    )
    GROUP BY ALL
)
SELECT *, hash(*COLUMNS(* EXCLUDE (n))) AS stands_for
FROM groups
