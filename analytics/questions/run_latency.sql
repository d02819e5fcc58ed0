-- How long do whole runs take?
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  None.
-- Grain       One row per workflow.
-- Columns     workflow               the endpoint id; '' where no event told it
--             completed, failed, interrupted, cancelled, running
--                                    runs of each status
--             {measure}_count        completed runs of which the measure is known
--             {measure}_quantiles_us [p50, p90, p95, p99], exact, interpolated between neighbours;
--                                    NULL where the count is 0
--             {measure}_max_us       the largest
-- Measures    duration     from the request to the end of the stream
--             first_event  from the request to fal's first event
-- Only completed runs are measured. A run that is completed but whose stream is still open has no
-- duration yet; one read from a transcript without times has neither.
WITH measured AS (
    SELECT
        workflow,
        status,
        CASE WHEN status = 'completed' THEN duration_us END AS duration_us,
        CASE WHEN status = 'completed' THEN first_event_us END AS first_event_us
    FROM runs
)
SELECT
    workflow,
    count(*) FILTER (WHERE status = 'completed') AS completed,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status = 'interrupted') AS interrupted,
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE status = 'running') AS running,
    count(duration_us) AS duration_count,
    quantile_cont(duration_us, [0.5, 0.9, 0.95, 0.99]) AS duration_quantiles_us,
    max(duration_us) AS duration_max_us,
    count(first_event_us) AS first_event_count,
    quantile_cont(first_event_us, [0.5, 0.9, 0.95, 0.99]) AS first_event_quantiles_us,
    max(first_event_us) AS first_event_max_us
FROM measured
GROUP BY workflow
ORDER BY workflow
