-- Which steps took longest?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $limit: most rows.
-- Grain       One row per step whose duration is known, however it ended.
-- Columns     request_id, workflow, node, attempt, app, status (of the step), opened_at (of the run),
--             duration_us, inference_us, overhead_us
--             link   where the HTTP service has its run
-- The last of the longest durations first: reading that column alone takes a fraction of the rest.
SELECT
    request_id,
    workflow,
    node_id AS node,
    attempt,
    app_id AS app,
    status,
    opened_at,
    duration_us,
    inference_us,
    overhead_us,
    '/api/v1/runs/' || url_encode(request_id) AS link
FROM steps
WHERE duration_us >= (
    SELECT min(duration_us)
    FROM (SELECT duration_us FROM steps WHERE duration_us IS NOT NULL ORDER BY duration_us DESC LIMIT $limit)
)
ORDER BY duration_us DESC, opened_at, request_id, node_id, attempt
LIMIT $limit
