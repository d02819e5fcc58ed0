-- How long do whole runs take: the values that percentiles are taken of.
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $by: names among workflow, status, definition, bucket_at and, where it is no other,
--             whole. $bucket: minute, hour, day, week or month; of no effect unless $by has
--             bucket_at. $measure: duration_us, first_event_us or queued_us. $any_status: whether
--             runs that are not completed are measured as well.
-- Grain       One row per group of what $by names.
-- Columns     what $by names   workflow '' where no event told it; bucket_at when the bucket of the
--                              run's opening began, NULL where that is unknown
--             values_us        the known values of the measure in any order; NULL for none
-- No order: sorting would move the lists.
SELECT
    COLUMNS(lambda name: list_contains($by::VARCHAR[], name)),
    list(value_us) FILTER (WHERE value_us IS NOT NULL) AS values_us
FROM (
    SELECT
        workflow,
        status,
        definition,
        date_trunc($bucket, opened_at) AS bucket_at,
        0 AS whole,
        COLUMNS(lambda name: name = $measure) AS value_us
    FROM runs
    WHERE $any_status OR runs.status = 'completed'
)
GROUP BY ALL
