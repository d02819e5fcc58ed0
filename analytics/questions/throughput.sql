-- How many runs begin and end?
--
-- Reads       runs (columns as in analytics/schema.py).
-- Parameters  $by: names among workflow, status, definition and, where it is no other, whole.
--             $bucket: minute, hour, day, week or month, of UTC's calendar. $most: buckets after the
--             first so many are left out.
-- Grain       One row per bucket and group of what $by names, for every bucket from the first in
--             which a run of any group began or ended to the last, empty ones included.
-- Columns     bucket_at         when the bucket began
--             what $by names    status as it is now
--             opened            runs that began
--             finished          runs that ended, however, by the wall clock (closed_at)
--             completed, failed, interrupted, cancelled
--                               those of them that ended so
-- A run whose beginning or end is not known is not counted for it; one that goes on has no end.
WITH grouped AS (
    SELECT
        COLUMNS(lambda name: list_contains($by::VARCHAR[], name)),
        opened_at,
        closed_at,
        status AS ended_as
    FROM (SELECT *, 0 AS whole FROM runs)
),
begun AS (
    SELECT * EXCLUDE (opened_at, closed_at, ended_as),
        date_trunc($bucket, opened_at) AS bucket_at,
        count(*) AS opened
    FROM grouped
    WHERE opened_at IS NOT NULL
    GROUP BY ALL
),
ended AS (
    SELECT * EXCLUDE (opened_at, closed_at, ended_as),
        date_trunc($bucket, closed_at) AS bucket_at,
        count(*) AS finished,
        count(*) FILTER (WHERE ended_as = 'completed') AS completed,
        count(*) FILTER (WHERE ended_as = 'failed') AS failed,
        count(*) FILTER (WHERE ended_as = 'interrupted') AS interrupted,
        count(*) FILTER (WHERE ended_as = 'cancelled') AS cancelled
    FROM grouped
    WHERE closed_at IS NOT NULL
    GROUP BY ALL
),
happened AS (SELECT * FROM begun UNION ALL BY NAME SELECT * FROM ended),
buckets AS (
    SELECT unnest(generate_series(
        min(bucket_at),
        least(max(bucket_at), min(bucket_at) + $most * CAST('1 ' || $bucket AS INTERVAL)),
        CAST('1 ' || $bucket AS INTERVAL)
    )) AS bucket_at
    FROM happened
),
every AS (
    SELECT bucket_at, groups.*
    FROM buckets
    CROSS JOIN (
        SELECT DISTINCT * EXCLUDE (bucket_at, opened, finished, completed, failed, interrupted, cancelled)
        FROM happened
    ) AS groups
)
SELECT
    * EXCLUDE (opened, finished, completed, failed, interrupted, cancelled),
    coalesce(sum(opened), 0)::BIGINT AS opened,
    coalesce(sum(finished), 0)::BIGINT AS finished,
    coalesce(sum(completed), 0)::BIGINT AS completed,
    coalesce(sum(failed), 0)::BIGINT AS failed,
    coalesce(sum(interrupted), 0)::BIGINT AS interrupted,
    coalesce(sum(cancelled), 0)::BIGINT AS cancelled
FROM (SELECT * FROM happened UNION ALL BY NAME SELECT * FROM every)
GROUP BY ALL
ORDER BY bucket_at, COLUMNS(lambda name: list_contains($by::VARCHAR[], name)) NULLS LAST
