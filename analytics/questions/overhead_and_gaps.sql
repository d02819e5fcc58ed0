-- Which time of runs is not inference?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $node, $app: NULL or exact ids; only these are told.
-- Grain       One row per workflow and node with a step in a completed run.
-- Columns     workflow, node_id
--             overhead_total_us, overhead_p50_us, gap_total_us, gap_p50_us: as time_spent.sql tells them
-- By itself, for all four medians at once take a third longer, and memory that ten million steps fill.
SELECT
    workflow,
    node_id,
    sum(overhead_us) FILTER (WHERE status = 'completed')::BIGINT AS overhead_total_us,
    quantile_cont(overhead_us, 0.5) FILTER (WHERE status = 'completed') AS overhead_p50_us,
    sum(gap_us)::BIGINT AS gap_total_us,
    quantile_cont(gap_us, 0.5) AS gap_p50_us
FROM steps
WHERE run_status = 'completed'
    AND coalesce(node_id = $node, $node IS NULL)
    AND coalesce(app_id = $app, $app IS NULL)
GROUP BY ALL
