-- How many steps failed?
--
-- Reads       steps (columns as in analytics/schema.py).
-- Parameters  None.
-- Grain       One row per (workflow, node, app) with a step that ended by itself.
-- Columns     workflow, node, app    the group; app is NULL where no event named one
--             ended                  steps that are completed or failed; one whose run was closed first
--                                    is neither
--             failed                 of these
--             squares                as in compared_values.sql, of the steps that ended
SELECT
    workflow,
    node_id AS node,
    app_id AS app,
    count(*) AS ended,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    sum(2 * attempt - 1)::BIGINT AS squares
FROM steps
WHERE status IN ('completed', 'failed')
GROUP BY workflow, node_id, app_id
ORDER BY workflow, node NULLS LAST, app NULLS LAST
