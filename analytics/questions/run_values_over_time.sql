-- How long every whole run took, with its moment, to be looked through for changes.
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  None.
-- Grain       One row per workflow that has a value. Only completed runs have one.
-- Columns     workflow    the endpoint id; '' where no event told it
--             points      every known duration, in no order: {at_us, value_us}, the first being when the
--                         run was opened, in microseconds since 1970
SELECT
    workflow, list({'at_us': epoch_us(opened_at), 'value_us': duration_us}) AS points
FROM runs
WHERE status = 'completed' AND duration_us IS NOT NULL
GROUP BY workflow
ORDER BY workflow
