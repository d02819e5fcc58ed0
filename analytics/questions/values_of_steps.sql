-- How long do steps take: every value, and the group it is of.
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $by, $bucket: as in latency_of_steps.sql. $measures: names among duration_us,
--             inference_us and overhead_us.
-- Grain       One row per completed step.
-- Columns     stands_for           the group, as in groups_of_steps.sql
--             what $measures names NULL where unknown
-- Several measures at once take half the time that lists of each take one after the other, and the
-- rows can be taken a piece at a time. No order.
SELECT
    hash(*COLUMNS(lambda name: list_contains($by::VARCHAR[], name))) AS stands_for,
    COLUMNS(lambda name: list_contains($measures::VARCHAR[], name))
FROM (
    SELECT
        workflow,
        node_id AS node,
        app_id AS app,
        run_status AS status,
        definition,
        date_trunc($bucket, opened_at) AS bucket_at,
        0 AS whole,
        duration_us,
        inference_us,
        overhead_us
    FROM steps
    WHERE steps.status = 'completed'
)
