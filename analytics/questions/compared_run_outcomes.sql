-- How many runs failed?
--
-- Reads       runs (columns as in analytics/schema.py).
-- Parameters  None.
-- Grain       One row per workflow with a run that ended otherwise than by its client leaving.
-- Columns     workflow    the endpoint id; '' where no event told it
--             ended       runs that are completed, failed or interrupted
--             failed      of these, failed or interrupted
--             squares     the number of runs that ended
SELECT
    workflow,
    count(*) AS ended,
    count(*) FILTER (WHERE status <> 'completed') AS failed,
    count(*) AS squares
FROM runs
WHERE status IN ('completed', 'failed', 'interrupted')
GROUP BY workflow
ORDER BY workflow
