-- How long every whole run took, to be compared or looked through by scipy.
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  None.
-- Grain       One row per workflow that has a value. Only completed runs have one.
-- Columns     workflow     the endpoint id; '' where no event told it
--             values_us    every known duration, from the request to the end of the stream, in no order
--             squares      the number of values: runs do not depend on one another
SELECT workflow, list(duration_us) AS values_us, count(*) AS squares
FROM runs
WHERE status = 'completed' AND duration_us IS NOT NULL
GROUP BY workflow
ORDER BY workflow
