-- Which nodes are on the critical path, and what would halving them save?
--
-- Reads       runs (columns as in analytics/schema.py); of analytics/walking.py nodes, and
--             paths (number, defined, on_path, ends, saved_us): a row for each node and measured run that
--             has steps of it.
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
        number,
        defined,
        count(*) AS runs_of_node,
        count(*) FILTER (WHERE on_path) AS on_path,
        count(*) FILTER (WHERE ends) AS ends,
        sum(saved_us) AS saved_us,
        quantile_cont(CASE WHEN on_path THEN saved_us END, 0.5) AS saved_p50_us
    FROM paths
    GROUP BY ALL
),
named AS (SELECT * FROM of_nodes JOIN nodes USING (number)),
of_graphs AS (
    SELECT workflow, definition, defined, sum(ends) AS runs FROM named GROUP BY ALL
),
measured AS (
    SELECT *, sum(runs) OVER (PARTITION BY workflow, definition) AS of_all_graphs FROM of_graphs
),
completed AS (
    SELECT workflow, definition, count(*) AS runs FROM runs WHERE status = 'completed' GROUP BY ALL
)
SELECT
    named.workflow,
    named.definition,
    CASE WHEN named.defined THEN 'definition' ELSE 'observed' END AS graph,
    named.node_id AS node,
    measured.runs::BIGINT AS runs,
    (completed.runs - measured.of_all_graphs)::BIGINT AS left_out,
    runs_of_node,
    on_path,
    on_path / measured.runs AS share,
    saved_us / measured.runs AS saved_mean_us,
    saved_p50_us
FROM named
JOIN measured
    ON measured.workflow = named.workflow
    AND measured.definition IS NOT DISTINCT FROM named.definition
    AND measured.defined = named.defined
JOIN completed
    ON completed.workflow = named.workflow
    AND completed.definition IS NOT DISTINCT FROM named.definition
WHERE told
ORDER BY named.workflow, named.definition NULLS LAST, graph, saved_mean_us DESC, node
