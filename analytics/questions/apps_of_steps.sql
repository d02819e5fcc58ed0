-- What are the apps of steps called?
--
-- Reads       steps (columns as in analytics/schema.py).
-- Parameters  None.
-- Grain       One row per app.
-- Columns     app      NULL for steps whose app no event named
--             hash     stands for it in steps_under_load.sql
-- Not ordered.
SELECT DISTINCT app_id AS app, coalesce(hash(app_id), 0) AS hash
FROM steps
