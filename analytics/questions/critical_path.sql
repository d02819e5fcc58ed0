-- Which nodes are on the critical path, and what would halving them save?
--
-- Reads       runs, steps (columns as in analytics/schema.py), all steps of a run.
-- Parameters  $node, $app: NULL or exact ids; only nodes of that name, that have a step of that app, are told.
-- Grain       One row per workflow, definition, graph and node.
-- Columns     workflow, definition, node
--             graph              'definition' where that told what waits for what, 'observed' where the
--                                order of submits and finishes did
--             runs               completed runs of the workflow, definition and graph that are measured
--             left_out           completed runs of the workflow and definition that are not: without
--                                steps, with unknown times, or with too many steps
--             runs_of_node       those measured that have steps of the node
--             on_path            those in which it is on the critical path
--             share              on_path / runs
--             saved_mean_us      by how much runs would end earlier on average, were the node twice as
--                                fast: over all runs measured
--             saved_p50_us       the median over those in which it is on the path; NULL for none
WITH of_nodes AS (
    SELECT
        workflow,
        definition,
        graph,
        node_id,
        -- What goes for a node is told by all its attempts alike: one of them stands for it.
        count(*) FILTER (WHERE attempt = 1) AS runs_of_node,
        count(*) FILTER (WHERE attempt = 1 AND node_critical) AS on_path,
        count(*) FILTER (WHERE ends_run) AS ends,
        sum(saved_us) FILTER (WHERE attempt = 1) AS saved_us,
        quantile_cont(saved_us, 0.5) FILTER (WHERE attempt = 1 AND node_critical) AS saved_p50_us,
        bool_or(coalesce(app_id = $app, $app IS NULL)) AS told
    FROM steps
    WHERE run_status = 'completed' AND graph IS NOT NULL
    GROUP BY ALL
),
of_graphs AS (
    SELECT workflow, definition, graph, sum(ends) AS runs FROM of_nodes GROUP BY ALL
),
measured AS (
    SELECT *, sum(runs) OVER (PARTITION BY workflow, definition) AS of_all_graphs FROM of_graphs
),
completed AS (
    SELECT workflow, definition, count(*) AS runs FROM runs WHERE status = 'completed' GROUP BY ALL
)
SELECT
    of_nodes.workflow,
    of_nodes.definition,
    of_nodes.graph,
    of_nodes.node_id AS node,
    measured.runs::BIGINT AS runs,
    (completed.runs - measured.of_all_graphs)::BIGINT AS left_out,
    runs_of_node,
    on_path,
    on_path / measured.runs AS share,
    saved_us / measured.runs AS saved_mean_us,
    saved_p50_us
FROM of_nodes
JOIN measured
    ON measured.workflow = of_nodes.workflow
    AND measured.definition IS NOT DISTINCT FROM of_nodes.definition
    AND measured.graph = of_nodes.graph
JOIN completed
    ON completed.workflow = of_nodes.workflow
    AND completed.definition IS NOT DISTINCT FROM of_nodes.definition
WHERE told AND coalesce(node_id = $node, $node IS NULL)
ORDER BY of_nodes.workflow, of_nodes.definition NULLS LAST, of_nodes.graph, saved_mean_us DESC, node
