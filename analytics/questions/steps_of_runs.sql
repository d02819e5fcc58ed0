-- When were the steps of completed runs under way?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Grain       One row per step of a completed run.
-- Columns     run            stands for the run: the 64-bit hash of its id
--             node           stands for workflow, definition and node: as in nodes_of_runs.sql
--             submitted_us, finished_us   since the run began; -1 where unknown
-- No order: the steps of a run mostly are together, and sorting takes ten times the reading.
SELECT
    hash(request_id) AS run,
    hash(workflow, definition, node_id) AS node,
    coalesce(submitted_us, -1) AS submitted_us,
    coalesce(finished_us, -1) AS finished_us
FROM steps
WHERE run_status = 'completed'
