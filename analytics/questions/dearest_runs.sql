-- Which runs may be the dearest?
--
-- Reads       steps (columns as in analytics/schema.py); prices (app, per, price), a row a price.
-- Parameters  $limit: most rows.
-- Grain       One row per run with a completed step of an app that has a price, the dearest first; of
--             equally dear ones some.
-- Columns     run      stands for it: the 64-bit hash of its id
--             cost     nearly; NULL where nothing a price goes by is known
-- Costs are computed as cost.sql has it, but in binary, which is enough to pick: cost.sql then tells them
-- exactly. By their hashes runs take a third of the memory; one more that shares a hash does no harm.
SELECT
    hash(request_id) AS run,
    sum(price::DOUBLE * CASE per
        WHEN 'request' THEN 1
        WHEN 'image' THEN images
        WHEN 'megapixel' THEN images::DOUBLE * image_width * image_height / 1e6
        WHEN 'inference_second' THEN inference_us / 1e6
        WHEN 'duration_second' THEN duration_us / 1e6
    END) AS cost
FROM steps
JOIN prices ON prices.app = steps.app_id
WHERE status = 'completed'
GROUP BY ALL
ORDER BY cost DESC NULLS LAST, run
LIMIT $limit
