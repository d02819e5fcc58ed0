-- How long do steps take: the values that percentiles are taken of.
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $by: names among workflow, node, app, status, definition, bucket_at and, where it is
--             no other, whole. $bucket: minute, hour, day, week or month; of no effect unless
--             $by has bucket_at. $measure: duration_us, inference_us or overhead_us.
-- Grain       One row per group of what $by names. Every attempt of a node is a step of its own.
-- Columns     what $by names   app NULL where no event named one; status is the run's; bucket_at
--                              when the bucket of the run's opening began, NULL where that is unknown
--             values_us        the known values of the measure in any order; NULL for none
-- Only completed steps are measured: a failed one tells how long failing took, an unfinished one
-- has no end. A measure that is unknown for a step leaves the step out.
-- No order: sorting would move the lists.
SELECT
    COLUMNS(lambda name: list_contains($by::VARCHAR[], name)),
    list(value_us) FILTER (WHERE value_us IS NOT NULL) AS values_us
FROM (
    SELECT
        workflow,
        node_id AS node,
        app_id AS app,
        run_status AS status,
        definition,
        date_trunc($bucket, opened_at) AS bucket_at,
        0 AS whole,
        COLUMNS(lambda name: name = $measure) AS value_us
    FROM steps
    WHERE steps.status = 'completed'
)
GROUP BY ALL
