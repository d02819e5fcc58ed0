-- Which groups do completed steps fall into?
--
-- Reads       steps (columns as in analytics/schema.py).
-- Parameters  $by, $bucket: as in latency_of_steps.sql.
-- Grain       One row per group of what $by names.
-- Columns     what $by names, as in latency_of_steps.sql
--             n            how many steps it has
--             stands_for   stands for the group in values_of_steps.sql: a 64-bit hash
WITH groups AS (
    SELECT COLUMNS(lambda name: list_contains($by::VARCHAR[], name)), count(*) AS n
    FROM (
        SELECT
            workflow,
            node_id AS node,
            app_id AS app,
            run_status AS status,
            definition,
            date_trunc($bucket, opened_at) AS bucket_at,
            0 AS whole
        FROM steps
        WHERE steps.status = 'completed'
    )
    GROUP BY ALL
)
SELECT *, hash(*COLUMNS(* EXCLUDE (n))) AS stands_for
FROM groups
