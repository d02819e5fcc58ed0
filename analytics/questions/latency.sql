-- How long do steps take?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $by_workflow, $by_node, $by_app: whether to tell these apart; a dimension that is not
--             told apart is NULL in the answer.
-- Grain       One row per (workflow, node, app) as far as told apart. Every attempt of a node is a
--             step of its own.
-- Columns     workflow, node, app    the group; app is NULL as well where no event named one
--             completed, failed, unfinished, running
--                                    steps of each status
--             {measure}_count        completed steps of which the measure is known
--             {measure}_quantiles_us [p50, p90, p95, p99], exact, interpolated between neighbours;
--                                    NULL where the count is 0
--             {measure}_max_us       the largest
-- Measures    duration   from submit to finish
--             inference  what the app says it took
--             overhead   duration less inference, where both are known; may be negative
-- Only completed steps are measured: a failed one tells how long failing took, an unfinished one
-- has no end. A measure that is unknown for a step leaves the step out of that measure only.
WITH measured AS (
    SELECT
        CASE WHEN $by_workflow THEN workflow END AS workflow,
        CASE WHEN $by_node THEN node_id END AS node,
        CASE WHEN $by_app THEN app_id END AS app,
        status,
        CASE WHEN status = 'completed' THEN duration_us END AS duration_us,
        CASE WHEN status = 'completed' THEN inference_us END AS inference_us
    FROM steps
)
SELECT
    workflow,
    node,
    app,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status = 'unfinished') AS unfinished,
    count(*) FILTER (WHERE status = 'running') AS running,
    count(duration_us) AS duration_count,
    quantile_cont(duration_us, [0.5, 0.9, 0.95, 0.99]) AS duration_quantiles_us,
    max(duration_us) AS duration_max_us,
    count(inference_us) AS inference_count,
    quantile_cont(inference_us, [0.5, 0.9, 0.95, 0.99]) AS inference_quantiles_us,
    max(inference_us) AS inference_max_us,
    count(duration_us - inference_us) AS overhead_count,
    quantile_cont(duration_us - inference_us, [0.5, 0.9, 0.95, 0.99]) AS overhead_quantiles_us,
    max(duration_us - inference_us) AS overhead_max_us
FROM measured
GROUP BY workflow, node, app
ORDER BY workflow NULLS LAST, node NULLS LAST, app NULLS LAST
