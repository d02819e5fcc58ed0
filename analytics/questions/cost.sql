-- What do steps cost?
--
-- Reads       steps (columns as in analytics/schema.py); prices (app, per, price), a row a price.
--             candidates (run): runs by the hash of their ids, as dearest_runs.sql tells them.
-- Parameters  $by: names among app, workflow, day, request_id and, where it is no other, whole.
--             $parts: the same, app, and missing where an app has several prices: steps are first counted by these.
--             $units: those of the prices, so that nothing else is read.
--             $every_run: whether other runs than the candidates count.
--             $limit: most rows.
-- Grain       One row per group of what $by names that has a completed step.
-- Columns     what $by names    app NULL where no event named one; day of the run's opening, in UTC
--             steps             completed steps: no others are charged for here
--             cost              the sum over steps with a price, in the table's currency, exact to the
--                               last of 18 decimals; NULL where no step of the group has a known cost
--             unpriced_steps    those of apps without a price
--             unknown_steps     those of priced apps of which something a price goes by is not known
-- Units       request: a step. image: its images. megapixel: a million pixels of its images, all taken
--             to be as large as the first. inference_second and duration_second: its inference_us and
--             duration_us. Quantities are summed as whole numbers (of millionths) and priced then, in
--             decimals all the way.
WITH quantities AS (
    SELECT
        COLUMNS(lambda name: list_contains($parts::VARCHAR[], name)),
        count(*) AS steps,
        sum(images) AS image,
        count(images) AS image_n,
        sum(pixels) AS megapixel,
        count(pixels) AS megapixel_n,
        sum(inference_us) AS inference_second,
        count(inference_us) AS inference_second_n,
        sum(duration_us) AS duration_second,
        count(duration_us) AS duration_second_n
    FROM (
        SELECT
            app_id AS app,
            workflow,
            date_trunc('day', opened_at) AS day,
            request_id,
            0 AS whole,
            CASE WHEN list_contains($units::VARCHAR[], 'image') THEN images END AS images,
            CASE
                WHEN list_contains($units::VARCHAR[], 'megapixel')
                THEN images * (image_width * image_height)::HUGEINT  -- sides are below 2^31
            END AS pixels,
            CASE
                WHEN list_contains($units::VARCHAR[], 'inference_second') THEN inference_us
            END AS inference_us,
            CASE
                WHEN list_contains($units::VARCHAR[], 'duration_second') THEN duration_us
            END AS duration_us,
            [images IS NULL, pixels IS NULL, inference_us IS NULL, duration_us IS NULL] AS missing
        FROM steps
        WHERE status = 'completed' AND ($every_run OR hash(request_id) IN (SELECT run FROM candidates))
    )
    GROUP BY ALL
),
charged AS (
    SELECT
        quantities.*,
        prices.price,
        CASE prices.per
            WHEN 'request' THEN steps::HUGEINT * 1_000_000
            WHEN 'image' THEN image * 1_000_000
            WHEN 'megapixel' THEN megapixel
            WHEN 'inference_second' THEN inference_second
            WHEN 'duration_second' THEN duration_second
        END AS millionths,
        CASE prices.per
            WHEN 'request' THEN steps
            WHEN 'image' THEN image_n
            WHEN 'megapixel' THEN megapixel_n
            WHEN 'inference_second' THEN inference_second_n
            WHEN 'duration_second' THEN duration_second_n
        END AS known
    FROM quantities
    LEFT JOIN prices ON prices.app = quantities.app
),
of_app AS (
    SELECT
        COLUMNS(lambda name: list_contains($parts::VARCHAR[], name)),
        any_value(steps) AS steps,
        sum(
            CASE WHEN known > 0 THEN
                (millionths::DECIMAL(20, 0) * 0.000001::DECIMAL(6, 6))::DECIMAL(20, 6) * price
            END
        ) AS cost,
        bool_or(price IS NULL) AS unpriced,
        max(steps - known) AS unknown
    FROM charged
    GROUP BY ALL
)
SELECT
    COLUMNS(lambda name: list_contains($by::VARCHAR[], name)),
    sum(steps)::BIGINT AS steps,
    sum(cost) AS cost,
    coalesce(sum(steps) FILTER (WHERE unpriced), 0)::BIGINT AS unpriced_steps,
    coalesce(sum(unknown), 0)::BIGINT AS unknown_steps
FROM of_app
GROUP BY ALL
ORDER BY cost DESC NULLS LAST, COLUMNS(lambda name: list_contains($by::VARCHAR[], name)) NULLS LAST
LIMIT $limit
