-- Which runs took longest?
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $limit: most rows.
-- Grain       One row per run whose duration is known, however it ended.
-- Columns     request_id, workflow, status, opened_at, duration_us
--             link   where the HTTP service has the run
-- The last of the longest durations first: reading that column alone takes a fraction of the rest.
SELECT
    request_id,
    workflow,
    status,
    opened_at,
    duration_us,
    '/api/v1/runs/' || url_encode(request_id) AS link
FROM runs
WHERE duration_us >= (
    SELECT min(duration_us)
    FROM (SELECT duration_us FROM runs WHERE duration_us IS NOT NULL ORDER BY duration_us DESC LIMIT $limit)
)
ORDER BY duration_us DESC, opened_at, request_id
LIMIT $limit
