-- How large are the images that steps make?
--
-- Reads       steps (columns as in analytics/schema.py).
-- Parameters  $limit: most rows.
-- Grain       One row per workflow, node, app and size that a completed step made.
-- Columns     workflow, node, app       app NULL where no event named one
--             width, height             of a step's first image, in pixels
--             steps, images             how many
--             share                     of the node's and app's steps with a known size
WITH sized AS (
    SELECT
        workflow,
        node_id AS node,
        app_id AS app,
        image_width AS width,
        image_height AS height,
        count(*) AS steps,
        coalesce(sum(images), 0)::BIGINT AS images
    FROM steps
    WHERE status = 'completed' AND image_width IS NOT NULL AND image_height IS NOT NULL
    GROUP BY ALL
)
SELECT *, steps / sum(steps) OVER (PARTITION BY workflow, node, app) AS share
FROM sized
ORDER BY steps DESC, workflow, node, app NULLS LAST, width, height
LIMIT $limit
