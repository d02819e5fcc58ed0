-- How are the durations of steps spread, as time passes?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $bucket: minute, hour, day, week or month, of UTC's calendar. $bins: how many bins a power
--             of ten is cut into.
-- Grain       One row per bucket of time and bin of durations that has a step.
-- Columns     bucket_at           when the bucket began that the run was opened in
--             low_us, high_us     the bin: from, and below. The lowest bin is that of 0 alone
--             n                   completed steps in it
-- Steps without a known duration and those of runs without a known opening are left out.
WITH binned AS (
    SELECT
        date_trunc($bucket, opened_at) AS bucket_at,
        CASE WHEN duration_us = 0 THEN -1 ELSE floor(log10(duration_us) * $bins) END AS bin,
        count(*) AS n
    FROM steps
    WHERE status = 'completed' AND duration_us >= 0 AND opened_at IS NOT NULL
    GROUP BY ALL
)
SELECT
    bucket_at,
    CASE WHEN bin < 0 THEN 0 ELSE ceil(pow(10, bin / $bins)) END::BIGINT AS low_us,
    CASE WHEN bin < 0 THEN 1 ELSE ceil(pow(10, (bin + 1) / $bins)) END::BIGINT AS high_us,
    n
FROM binned
ORDER BY bucket_at, low_us
