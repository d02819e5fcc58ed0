-- Which runs show it? The slowest runs beyond a limit, of several workflows at once.
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $workflows, $beyond_us: lists as long as each other, a place each workflow.
--             $since_us, $until_us: two more of the kind, the window by when the run was opened, in
--             microseconds since 1970; NULL where there is no such limit.
--             $most: how many a workflow.
-- Grain       One row per (workflow, run): of completed runs the slowest beyond the workflow's limit.
-- Columns     number        the workflow's place in the lists, from 1
--             request_id    the run
--             value_us      its duration
-- Order       By workflow, the slowest first, of equals the last id (ids of ours begin with their time).
WITH
wanted AS (
    SELECT
        unnest(range(1, len($beyond_us::DOUBLE[]) + 1)) AS number,
        unnest($workflows::VARCHAR[]) AS workflow,
        unnest($beyond_us::DOUBLE[]) AS beyond_us,
        unnest($since_us::BIGINT[]) AS since_us,
        unnest($until_us::BIGINT[]) AS until_us
),
slowest AS (
    SELECT
        wanted.number,
        unnest(max({'value_us': duration_us, 'request_id': request_id}, $most)) AS run
    FROM runs
    JOIN wanted ON runs.workflow = wanted.workflow
    WHERE runs.status = 'completed'
        AND runs.duration_us > wanted.beyond_us
        AND epoch_us(runs.opened_at) >= coalesce(wanted.since_us, epoch_us(runs.opened_at))
        AND epoch_us(runs.opened_at) < coalesce(wanted.until_us, epoch_us(runs.opened_at) + 1)
    GROUP BY wanted.number
)
SELECT number, run.request_id AS request_id, run.value_us AS value_us
FROM slowest
ORDER BY number, value_us DESC, request_id DESC
