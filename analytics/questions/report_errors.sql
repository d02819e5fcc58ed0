-- What goes wrong?
--
-- Reads       runs, steps (columns as in analytics/schema.py).
-- Parameters  $most: most rows.
-- Grain       One row per failure of steps, and of runs in which no step failed, told apart by kind, app
--             (of steps) and field.
-- Columns     kind, app, field    as in analytics/schema.py; NULL where there is none
--             failures            how many steps or runs
--             runs                in how many runs
--             request_id          the run of the last of them
--             message             of that one, one line of text
-- Order       The most frequent first.
WITH failures AS (
    SELECT error_kind AS kind, app_id AS app, error_field AS field, request_id, opened_at, error_message
    FROM steps
    WHERE status = 'failed'
    UNION ALL
    SELECT coalesce(error_kind, close_reason, status), NULL, error_field, request_id, opened_at, error_message
    FROM runs
    ANTI JOIN (SELECT request_id FROM steps WHERE status = 'failed') AS failed USING (request_id)
    WHERE runs.status IN ('failed', 'interrupted')
)
SELECT
    kind,
    app,
    field,
    count(*) AS failures,
    count(DISTINCT request_id) AS runs,
    max_by(request_id, opened_at) AS request_id,
    max_by(error_message, opened_at) AS message
FROM failures
GROUP BY kind, app, field
ORDER BY failures DESC, kind, app NULLS LAST, field NULLS LAST
LIMIT $most
