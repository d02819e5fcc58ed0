-- How long do steps take while so many others are at work: the values percentiles are taken of.
--
-- Reads       loads (app: the hash of an app id, 0 for none; others_from, others_to; value_us), steps.
-- Grain       One row per app and range of load.
-- Columns     app                       NULL for steps whose app no event named
--             others_from, others_to    how many others are at work at the step's submit, both included
--             values_us                 the values in any order
-- No order: sorting would move the lists.
WITH grouped AS (
    SELECT app, others_from, others_to, list(value_us) AS values_us FROM loads GROUP BY ALL
),
names AS (SELECT DISTINCT app_id, coalesce(hash(app_id), 0) AS app FROM steps)
SELECT names.app_id AS app, others_from, others_to, values_us
FROM grouped
JOIN names ON names.app = grouped.app
