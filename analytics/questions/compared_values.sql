-- All values of one measure of steps, to be compared or looked through by scipy.
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $measure: 'duration', 'inference' or 'overhead'.
--             $part, $parts: the groups of one part of so many, from 0; so that large answers come in
--             pieces.
-- Grain       One row per (workflow, node, app) that has a value. Only completed steps have one.
-- Columns     workflow, node, app    the group; app is NULL where no event named one
--             values_us              every known value, in no order
--             squares                the sum over runs of the square of the group's steps in the run:
--                                    attempts count up from 1, and 1 + 3 + … + (2 n - 1) is n squared.
--                                    Attempts that have no value are counted as well, so it may be more
SELECT
    workflow,
    node_id AS node,
    app_id AS app,
    list(value_us) AS values_us,
    sum(2 * attempt - 1)::BIGINT AS squares
FROM (
    SELECT
        workflow,
        node_id,
        app_id,
        attempt,
        CASE $measure
            WHEN 'duration' THEN duration_us
            WHEN 'inference' THEN inference_us
            WHEN 'overhead' THEN overhead_us
        END AS value_us
    FROM steps
    WHERE status = 'completed' AND hash(workflow, node_id) % $parts::UBIGINT = $part::UBIGINT
)
WHERE value_us IS NOT NULL
GROUP BY workflow, node_id, app_id
ORDER BY workflow, node NULLS LAST, app NULLS LAST
