-- When are steps at work, by app, and how long did those take that are to be measured?
--
-- Reads       steps, and of unfinished ones their runs (columns as in analytics/schema.py).
-- Parameters  $now_us: what steps still running have come to, microseconds since 1970 in UTC.
--             $measure: duration_us, inference_us or overhead_us. $node, $app: NULL or exact ids.
-- Grain       As steps_at_work.sql.
-- Columns     begin_us, end_us   as steps_at_work.sql
--             app                stands for the app: the 64-bit hash of its id, 0 for none
--             value_us           the measure of a completed step of $node and $app, whatever they are
--                                where they are NULL; NULL for other steps and where it is unknown
-- Not ordered.
WITH unfinished AS MATERIALIZED (
    SELECT request_id, epoch_us(opened_at) AS opened_us, submitted_us, app_id
    FROM steps
    WHERE status = 'unfinished' AND opened_at IS NOT NULL AND submitted_us IS NOT NULL
)
SELECT
    epoch_us(opened_at) + submitted_us AS begin_us,
    CASE
        WHEN status = 'running' THEN greatest($now_us, epoch_us(opened_at) + submitted_us)
        ELSE epoch_us(opened_at) + greatest(finished_us, submitted_us)
    END AS end_us,
    coalesce(hash(app_id), 0) AS app,
    CASE
        WHEN
            status = 'completed'
            AND coalesce(node_id = $node, $node IS NULL)
            AND coalesce(app_id = $app, $app IS NULL)
        THEN COLUMNS(lambda name: name = $measure)
    END AS value_us
FROM steps
WHERE status <> 'unfinished'
    AND opened_at IS NOT NULL
    AND submitted_us IS NOT NULL
    AND (finished_us IS NOT NULL OR status = 'running')
UNION ALL
SELECT
    opened_us + submitted_us,
    opened_us + greatest(duration_us, submitted_us),
    coalesce(hash(app_id), 0),
    NULL
FROM unfinished
JOIN runs USING (request_id)
WHERE duration_us IS NOT NULL
