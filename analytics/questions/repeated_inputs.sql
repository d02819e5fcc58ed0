-- Which inputs were sent more than once?
--
-- Reads       runs (columns as in analytics/schema.py).
-- Parameters  $limit: most rows.
-- Grain       One row per workflow and input (its digest) that several runs have.
-- Columns     workflow, input_digest
--             runs                how many have it
--             completed           how many of them completed
--             first_at, last_at   when the first and the last was opened
--             request_id          the one that came to the log first
WITH repeated AS MATERIALIZED (
    SELECT workflow, input_digest, count(*) AS n
    FROM runs
    WHERE input_digest IS NOT NULL
    GROUP BY ALL
    HAVING count(*) > 1
    ORDER BY n DESC, workflow, input_digest
    LIMIT $limit
)
SELECT
    workflow,
    input_digest,
    count(*) AS runs,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    min(opened_at) AS first_at,
    max(opened_at) AS last_at,
    arg_min(request_id, first_position) AS request_id
FROM runs
JOIN repeated USING (workflow, input_digest)
GROUP BY ALL
ORDER BY runs DESC, workflow, input_digest
