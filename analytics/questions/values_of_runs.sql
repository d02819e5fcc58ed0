-- How long do whole runs take: every value, and the group it is of.
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $by, $bucket, $any_status: as in latency_of_runs.sql. $measures: names among duration_us,
--             first_event_us and queued_us.
-- Grain       One row per run that is measured.
-- Columns     stands_for           the group, as in groups_of_runs.sql
--             what $measures names NULL where unknown
-- No order; why not lists, see values_of_steps.sql.
SELECT
    hash(*COLUMNS(lambda name: list_contains($by::VARCHAR[], name))) AS stands_for,
    COLUMNS(lambda name: list_contains($measures::VARCHAR[], name))
FROM (
    SELECT
        workflow,
        status,
        definition,
        date_trunc($bucket, opened_at) AS bucket_at,
        0 AS whole,
        duration_us,
        first_event_us,
        queued_us
    FROM runs
    WHERE $any_status OR runs.status = 'completed'
)
