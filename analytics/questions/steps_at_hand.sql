-- How many completed steps are there?
--
-- Reads       steps (columns as in analytics/schema.py).
-- Parameters  None.
-- Grain       One row.
-- Columns     completed    their number
SELECT count(*) AS completed
FROM steps
WHERE status = 'completed'
