-- Where does the time go?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $most: most rows.
-- Grain       One row per (workflow, node) with a completed step.
-- Columns     workflow, node    the group
--             steps             completed ones whose duration is known
--             duration_us       the sum of their durations
--             inference_us      what apps say it took, of those that tell it
--             overhead_us       duration less inference, of those that tell it
--             share             of the durations of all completed steps
-- Order       The largest sum first.
SELECT
    workflow,
    node_id AS node,
    count(duration_us) AS steps,
    sum(duration_us)::BIGINT AS duration_us,
    coalesce(sum(inference_us) FILTER (WHERE duration_us IS NOT NULL), 0)::BIGINT AS inference_us,
    coalesce(sum(overhead_us), 0)::BIGINT AS overhead_us,
    sum(duration_us) / nullif(sum(sum(duration_us)) OVER (), 0) AS share
FROM steps
WHERE status = 'completed' AND duration_us IS NOT NULL
GROUP BY workflow, node_id
ORDER BY duration_us DESC, workflow, node
LIMIT $most
