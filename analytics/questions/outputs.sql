-- What comes out of steps?
--
-- Reads       steps (columns as in analytics/schema.py).
-- Parameters  $by: names among workflow, node, app and, where it is no other, whole.
-- Grain       One row per group of what $by names that has a completed step.
-- Columns     what $by names   app NULL where no event named one
--             steps            completed steps
--             with_images      those of them that made images
--             images           how many images
--             sizes            different sizes, each step's being that of its first image; sides are below 2^31
--             seeds            steps that tell their seed
--             flagged          images flagged as not safe for work
--             flagged_share    of the images of steps that tell flags; NULL where none does
SELECT
    COLUMNS(lambda name: list_contains($by::VARCHAR[], name)),
    count(*) AS steps,
    count(*) FILTER (WHERE images > 0) AS with_images,
    coalesce(sum(images), 0)::BIGINT AS images,
    count(DISTINCT image_width * 4294967296 + image_height) AS sizes,
    count(seed) AS seeds,
    coalesce(sum(nsfw), 0)::BIGINT AS flagged,
    sum(nsfw) / nullif(sum(images) FILTER (WHERE nsfw IS NOT NULL), 0) AS flagged_share
FROM (
    SELECT * EXCLUDE (app_id, node_id), node_id AS node, app_id AS app, 0 AS whole
    FROM steps
    WHERE status = 'completed'
)
GROUP BY ALL
ORDER BY COLUMNS(lambda name: list_contains($by::VARCHAR[], name)) NULLS LAST
