-- Where does the time of runs go?
--
-- Reads       runs, steps (columns as in analytics/schema.py), times in microseconds; others, which is
--             what overhead_and_gaps.sql found.
-- Parameters  $node, $app: NULL or exact ids; only these are told.
-- Grain       One row per workflow and node with a completed step in a completed run.
-- Columns     workflow, node
--             steps                        completed steps of completed runs
--             {part}_total_us, {part}_p50_us
--                                          sum and median of the steps of which the part is known; NULL
--                                          for none
--             share                        duration_total_us / the total duration of the workflow's
--                                          completed runs; steps side by side take it to more than 1
-- Parts       duration    from submit to finish, which is inference and overhead
--             inference   what the app says it took
--             overhead    duration less inference; may be negative
--             gap         from the finish of the last step that it waited for, or from the run's
--                         beginning, to its submit; of failed attempts as well
WITH spent AS (
    SELECT
        workflow,
        node_id,
        count(*) AS steps,
        sum(duration_us) AS duration_total_us,
        quantile_cont(duration_us, 0.5) AS duration_p50_us,
        sum(inference_us) AS inference_total_us,
        quantile_cont(inference_us, 0.5) AS inference_p50_us
    FROM steps
    WHERE status = 'completed'
        AND run_status = 'completed'
        AND coalesce(node_id = $node, $node IS NULL)
        AND coalesce(app_id = $app, $app IS NULL)
    GROUP BY ALL
),
whole AS (
    SELECT workflow, sum(duration_us) AS duration_us
    FROM runs
    WHERE status = 'completed'
    GROUP BY ALL
)
SELECT
    spent.workflow,
    spent.node_id AS node,
    steps,
    duration_total_us::BIGINT AS duration_total_us,
    duration_p50_us,
    inference_total_us::BIGINT AS inference_total_us,
    inference_p50_us,
    overhead_total_us,
    overhead_p50_us,
    gap_total_us,
    gap_p50_us,
    duration_total_us / nullif(whole.duration_us, 0) AS share
FROM spent
JOIN others ON others.workflow = spent.workflow AND others.node_id = spent.node_id
LEFT JOIN whole ON whole.workflow = spent.workflow
ORDER BY spent.workflow, duration_total_us DESC NULLS LAST, node
