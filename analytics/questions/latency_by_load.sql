-- How long do steps take while so many others are at work: the values percentiles are taken of.
--
-- Reads       loads (app: a number; load: the exponent of a range of numbers of others; value_us), a row a
--             measured step; apps (app, hash: of the app's id as in steps_under_load.sql); steps.
-- Grain       One row per app and range.
-- Columns     app          NULL for steps whose app no event named
--             load
--             values_us    the values in any order
-- No order: sorting would move the lists.
WITH grouped AS (SELECT app, load, list(value_us) AS values_us FROM loads GROUP BY ALL),
names AS (SELECT DISTINCT app_id, coalesce(hash(app_id), 0) AS hash FROM steps)
SELECT names.app_id AS app, load, values_us
FROM grouped
JOIN apps ON apps.app = grouped.app
JOIN names ON names.hash = apps.hash
