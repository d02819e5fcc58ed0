-- Which runs may be the dearest?
--
-- Reads       steps (columns as in analytics/schema.py); prices (app, per, price), a row a price.
-- Parameters  $limit: most rows.
-- Grain       One row per run with a completed step, the dearest first; of equally dear ones some.
-- Columns     run      stands for it: the 64-bit hash of its id
--             cost     nearly
-- Costs are computed as cost.sql has it, but in binary, which is enough to pick: cost.sql then tells them
-- exactly. By their hashes runs take a third of the memory; one more that shares a hash does no harm.
WITH per_app AS (
    SELECT
        app AS app_id,
        coalesce(sum(price) FILTER (WHERE per = 'request'), 0)::DOUBLE AS request,
        coalesce(sum(price) FILTER (WHERE per = 'image'), 0)::DOUBLE AS image,
        coalesce(sum(price) FILTER (WHERE per = 'megapixel'), 0)::DOUBLE AS megapixel,
        coalesce(sum(price) FILTER (WHERE per = 'inference_second'), 0)::DOUBLE AS inference_second,
        coalesce(sum(price) FILTER (WHERE per = 'duration_second'), 0)::DOUBLE AS duration_second
    FROM prices
    GROUP BY ALL
)
SELECT
    hash(request_id) AS run,
    sum(
        request
        + coalesce(images, 0) * image
        + coalesce(images::DOUBLE * image_width * image_height, 0) * megapixel / 1e6
        + coalesce(inference_us, 0) * inference_second / 1e6
        + coalesce(duration_us, 0) * duration_second / 1e6
    ) AS cost
FROM steps
LEFT JOIN per_app USING (app_id)
WHERE status = 'completed'
GROUP BY ALL
ORDER BY cost DESC NULLS LAST, run
LIMIT $limit
