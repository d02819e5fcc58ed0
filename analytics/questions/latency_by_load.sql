-- How long do steps take while so many others are at work: the values percentiles are taken of.
--
-- Reads       loads (app: stands for an app, as in steps_under_load.sql; load: the exponent of a range of
--             numbers of others; value_us), a row a measured step; steps.
-- Grain       One row per app and range.
-- Columns     app          NULL for steps whose app no event named
--             load
--             values_us    the values in any order
-- No order: sorting would move the lists.
WITH grouped AS (SELECT app, load, list(value_us) AS values_us FROM loads GROUP BY ALL),
names AS (SELECT DISTINCT app_id, coalesce(hash(app_id), 0) AS app FROM steps)
SELECT names.app_id AS app, load, values_us
FROM grouped
JOIN names ON names.app = grouped.app
