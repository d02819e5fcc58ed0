-- Which nodes have steps in completed runs?
--
-- Reads       steps (columns as in analytics/schema.py).
-- Parameters  $node, $app: NULL or exact ids, see told.
-- Grain       One row per workflow, definition and node.
-- Columns     node             stands for the three: a 64-bit hash
--             workflow, definition (NULL where unknown), node_id
--             steps            how many it has
--             told             whether it is $node and has a step of $app; of no effect where NULL
-- Those with most steps first.
SELECT
    hash(workflow, definition, node_id) AS node,
    workflow,
    definition,
    node_id,
    count(*) AS steps,
    bool_or(
        coalesce(node_id = $node, $node IS NULL) AND coalesce(app_id = $app, $app IS NULL)
    ) AS told
FROM steps
WHERE run_status = 'completed'
GROUP BY ALL
ORDER BY steps DESC, workflow, definition NULLS LAST, node_id
