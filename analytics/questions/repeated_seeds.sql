-- Which seeds came up more than once?
--
-- Reads       steps (columns as in analytics/schema.py).
-- Parameters  $limit: most rows.
-- Grain       One row per workflow, node and seed that several completed steps tell.
-- Columns     workflow, node, seed (decimal text: it may exceed 64 bits)
--             steps               how many tell it
--             first_at, last_at   when the first and the last of their runs was opened
--             request_id          the run of the first
WITH
-- Most seeds come up once. Looking for the others by 64 bits a seed takes half the memory that the seeds take.
likely AS MATERIALIZED (
    SELECT hash(workflow, node_id, seed) AS hashed
    FROM steps
    WHERE status = 'completed' AND seed IS NOT NULL
    GROUP BY ALL
    HAVING count(*) > 1
),
repeated AS MATERIALIZED (
    SELECT workflow, node_id, seed, count(*) AS n
    FROM steps
    WHERE status = 'completed'
        AND seed IS NOT NULL
        AND hash(workflow, node_id, seed) IN (SELECT hashed FROM likely)
    GROUP BY ALL
    HAVING count(*) > 1
    ORDER BY n DESC, workflow, node_id, seed
    LIMIT $limit
)
SELECT
    workflow,
    node_id AS node,
    seed,
    count(*) AS steps,
    min(opened_at) AS first_at,
    max(opened_at) AS last_at,
    min({'at': coalesce(opened_at, 'infinity'::TIMESTAMP), 'id': request_id}).id AS request_id
FROM steps
JOIN repeated USING (workflow, node_id, seed)
WHERE status = 'completed'
GROUP BY ALL
ORDER BY steps DESC, workflow, node, seed
