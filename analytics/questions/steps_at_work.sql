-- When are steps at work?
--
-- Reads       steps, and of unfinished ones their runs (columns as in analytics/schema.py).
-- Parameters  $now_us: what steps still running have come to, microseconds since 1970 in UTC.
--             $measure: duration_us, inference_us or overhead_us. $node, $app: NULL or exact ids.
-- Grain       One row per step whose submit is known, and whose end is known, is that of its run since
--             the run ended first (unfinished), or is still to come (running).
-- Columns     begin_us, end_us   microseconds since 1970 in UTC: the run's beginning and the times since
--                                then, which are a monotonic clock's
--             app                a number for the app: its hash; 0 for none
--             value_us           the measure of a completed step of $node and $app, whatever they are where
--                                they are NULL; NULL for other steps and where it is unknown
-- Not ordered.
WITH ended AS (
    SELECT
        opened_at,
        app_id,
        submitted_us,
        finished_us,
        CASE
            WHEN
                status = 'completed'
                AND coalesce(node_id = $node, $node IS NULL)
                AND coalesce(app_id = $app, $app IS NULL)
            THEN COLUMNS(lambda name: name = $measure)
        END AS value_us
    FROM steps
    WHERE status IN ('completed', 'failed')
    UNION ALL
    SELECT steps.opened_at, steps.app_id, submitted_us, runs.duration_us, NULL
    FROM steps
    JOIN runs USING (request_id)
    WHERE steps.status = 'unfinished'
    UNION ALL
    SELECT opened_at, app_id, submitted_us, $now_us - epoch_us(opened_at), NULL
    FROM steps
    WHERE status = 'running'
)
SELECT
    epoch_us(opened_at) + submitted_us AS begin_us,
    epoch_us(opened_at) + greatest(finished_us, submitted_us) AS end_us,
    coalesce(hash(app_id), 0) AS app,
    value_us
FROM ended
WHERE opened_at IS NOT NULL AND submitted_us IS NOT NULL AND finished_us IS NOT NULL
