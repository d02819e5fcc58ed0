-- Which runs took longest, and which step of each?
--
-- Reads       runs, steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $most: most rows.
-- Grain       One row per run whose duration is known.
-- Columns     request_id, workflow, status, duration_us
--             opened_at_us     when it was opened, microseconds since 1970
--             node, node_us    its longest step and how long that took; NULL where none is known
-- Order       The longest first.
WITH slowest AS (
    SELECT request_id, workflow, status, opened_at, duration_us
    FROM runs
    WHERE duration_us IS NOT NULL
    ORDER BY duration_us DESC, request_id DESC
    LIMIT $most
),
longest AS (
    SELECT request_id, max({'us': duration_us, 'node': node_id}) AS step
    FROM steps
    SEMI JOIN slowest USING (request_id)
    WHERE duration_us IS NOT NULL
    GROUP BY request_id
)
SELECT
    request_id,
    workflow,
    status,
    duration_us,
    epoch_us(opened_at) AS opened_at_us,
    step.node AS node,
    step.us AS node_us
FROM slowest
LEFT JOIN longest USING (request_id)
ORDER BY duration_us DESC, request_id DESC
