-- What goes wrong, where, and how often?
--
-- Reads       runs, steps (columns as in analytics/schema.py).
-- Parameters  $limit: most rows.
-- Grain       One row per failure of runs or of steps, told apart by kind, app (of steps) and field.
-- Columns     of                     'runs' or 'steps': a failed step usually fails its run as well, so
--                                    the two are counted apart
--             kind                   fal's type of the first detail, else the reason the run was closed
--                                    for, else 'error'
--             app                    NULL for runs, and where no event named one
--             field                  the field that detail names; NULL for none
--             failures               how many runs or steps
--             share                  of all selected runs or steps, whatever became of them
--             share_of_app           of all selected steps of that app; NULL for runs
--             runs                   how many runs that is in
--             first_at, last_at      when the first and the last of those runs was opened
--             request_id             the run of the last of them
--             status, message        of that one: HTTP status, one line of text
-- A failure is a row that has an error kind, but for runs that had an error on their way and completed
-- all the same. Unfinished steps have none: nobody said what became of them.
WITH failures AS (
    SELECT
        'steps' AS of,
        error_kind AS kind,
        app_id AS app,
        error_field AS field,
        count(*) AS failures,
        count(DISTINCT request_id) AS runs,
        min(opened_at) AS first_at,
        max(opened_at) AS last_at,
        max({
            'opened_at': coalesce(opened_at, '-infinity'::TIMESTAMP),
            'request_id': request_id,
            'status': error_status,
            'message': error_message
        }) AS last
    FROM steps
    WHERE error_kind IS NOT NULL
    GROUP BY ALL
    UNION ALL
    SELECT
        'runs',
        error_kind,
        NULL,
        error_field,
        count(*),
        count(*),
        min(opened_at),
        max(opened_at),
        max({
            'opened_at': coalesce(opened_at, '-infinity'::TIMESTAMP),
            'request_id': request_id,
            'status': error_status,
            'message': error_message
        })
    FROM runs
    WHERE error_kind IS NOT NULL AND status <> 'completed'
    GROUP BY ALL
),
totals AS (
    SELECT 'steps' AS of, app_id AS app, count(*) AS total FROM steps GROUP BY ALL
    UNION ALL
    SELECT 'runs', NULL, count(*) FROM runs
),
all_of AS (SELECT of, sum(total) AS total FROM totals GROUP BY of)
SELECT
    failures.of,
    failures.kind,
    failures.app,
    failures.field,
    failures.failures,
    failures.failures / all_of.total AS share,
    CASE WHEN failures.of = 'steps' THEN failures.failures / totals.total END AS share_of_app,
    failures.runs,
    failures.first_at,
    failures.last_at,
    failures.last.request_id AS request_id,
    failures.last.status AS status,
    failures.last.message AS message
FROM failures
JOIN all_of ON all_of.of = failures.of
JOIN totals ON totals.of = failures.of AND totals.app IS NOT DISTINCT FROM failures.app
ORDER BY failures.of, failures.failures DESC, kind, app NULLS LAST, field NULLS LAST
LIMIT $limit
