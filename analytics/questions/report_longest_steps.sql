-- Which step of each of these runs took longest?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $request_ids: a list of runs.
-- Grain       One row per run of the list with a step whose duration is known.
-- Columns     request_id    the run
--             node          of its longest step
--             node_us       how long that took
SELECT request_id, step.node AS node, step.us AS node_us
FROM (
    SELECT request_id, max({'us': duration_us, 'node': node_id}) AS step
    FROM steps
    WHERE list_contains($request_ids::VARCHAR[], request_id) AND duration_us IS NOT NULL
    GROUP BY request_id
)
ORDER BY request_id
