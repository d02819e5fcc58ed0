-- Which runs show it? The slowest steps beyond a limit, of several groups at once.
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $measure: 'duration', 'inference' or 'overhead'.
--             $by_workflow, $by_node, $by_app: which of these tell groups apart.
--             $workflows, $nodes, $apps, $beyond_us: lists as long as each other, a place each group;
--             NULL where groups are not told apart by it, or have none.
--             $since_us, $until_us: two more of the kind, the group's window by when the run was opened, in
--             microseconds since 1970; NULL where it has no such limit.
--             $most: how many a group.
-- Grain       One row per (group, step): of completed steps the slowest beyond the group's limit.
-- Columns     number        the group's place in the lists, from 1
--             request_id    the run
--             value_us      of the step
-- Order       By group, the slowest first, of equals the last id (ids of ours begin with their time).
WITH
wanted AS (
    SELECT
        unnest(range(1, len($beyond_us::DOUBLE[]) + 1)) AS number,
        unnest($workflows::VARCHAR[]) AS workflow,
        unnest($nodes::VARCHAR[]) AS node,
        unnest($apps::VARCHAR[]) AS app,
        unnest($beyond_us::DOUBLE[]) AS beyond_us,
        unnest($since_us::BIGINT[]) AS since_us,
        unnest($until_us::BIGINT[]) AS until_us
),
measured AS (
    SELECT
        request_id,
        epoch_us(opened_at) AS at_us,
        CASE WHEN $by_workflow THEN workflow END AS workflow,
        CASE WHEN $by_node THEN node_id END AS node,
        CASE WHEN $by_app THEN app_id END AS app,
        CASE $measure
            WHEN 'duration' THEN duration_us
            WHEN 'inference' THEN inference_us
            WHEN 'overhead' THEN overhead_us
        END AS value_us
    FROM steps
    WHERE status = 'completed'
),
slowest AS (
    SELECT
        wanted.number,
        unnest(max({'value_us': value_us, 'request_id': request_id}, $most)) AS step
    FROM measured
    JOIN wanted
        ON measured.workflow IS NOT DISTINCT FROM wanted.workflow
        AND measured.node IS NOT DISTINCT FROM wanted.node
        AND measured.app IS NOT DISTINCT FROM wanted.app
    WHERE measured.value_us > wanted.beyond_us
        AND measured.at_us >= coalesce(wanted.since_us, measured.at_us)
        AND measured.at_us < coalesce(wanted.until_us, measured.at_us + 1)
    GROUP BY wanted.number
)
SELECT number, step.request_id AS request_id, step.value_us AS value_us
FROM slowest
ORDER BY number, value_us DESC, request_id DESC
