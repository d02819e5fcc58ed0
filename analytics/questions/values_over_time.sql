-- All values of one measure of steps with their moments, to be looked through for changes.
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $measure: 'duration', 'inference' or 'overhead'.
--             $part, $parts: the groups of one part of so many, from 0; so that large answers come in
--             pieces.
-- Grain       One row per (workflow, node) that has a value. Only completed steps have one.
-- Columns     workflow, node    the group
--             points            every known value, in no order: {at_us, value_us}, the first being when
--                               the run was opened, in microseconds since 1970
SELECT workflow, node_id AS node, list({'at_us': at_us, 'value_us': value_us}) AS points
FROM (
    SELECT
        workflow,
        node_id,
        epoch_us(opened_at) AS at_us,
        CASE $measure
            WHEN 'duration' THEN duration_us
            WHEN 'inference' THEN inference_us
            WHEN 'overhead' THEN overhead_us
        END AS value_us
    FROM steps
    WHERE status = 'completed' AND hash(workflow, node_id) % $parts::UBIGINT = $part::UBIGINT
)
WHERE value_us IS NOT NULL
GROUP BY workflow, node_id
ORDER BY workflow, node NULLS LAST
