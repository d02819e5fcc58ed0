-- Which steps took unusually long or short for their node?
--
-- Reads       steps (columns as in analytics/schema.py), times in microseconds.
--             usual (columns as in usual_steps.sql): a table of its own, for DuckDB knows how small it is then.
-- Parameters  $score: least absolute score of a row.
--             $limit: most rows.
-- Grain       One row per completed step with a known duration above 0.
-- Method      The modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993):
--             0.6745 * (x - median) / MAD, of the natural logarithm of the duration, since latencies
--             are spread by factors, within (workflow, node). Beyond 3.5 counts as unusual. MAD is the
--             median of absolute deviations from the median; where it is 0, more than half the steps
--             took the same time, and (x - median) / (1.2533 * mean absolute deviation) stands in.
-- Columns     as slowest_steps.sql, and
--             score        how unusual: above 0 slow, below 0 fast
--             typical_us   the median of its group
--             n            how many steps the group has
WITH scored AS (
    SELECT steps.*, (ln(duration_us) - middle) / nullif(scale, 0) AS score, middle, n
    FROM steps
    LEFT JOIN usual USING (workflow, node_id)
    WHERE status = 'completed' AND duration_us > 0
),
told AS (
    SELECT *
    FROM scored
    WHERE abs(score) >= $score
    ORDER BY abs(score) DESC, opened_at, request_id, node_id, attempt
    LIMIT $limit
)
SELECT
    request_id,
    workflow,
    node_id AS node,
    attempt,
    app_id AS app,
    status,
    opened_at,
    duration_us,
    inference_us,
    overhead_us,
    '/api/v1/runs/' || url_encode(request_id) AS link,
    score,
    exp(middle) AS typical_us,
    n
FROM told
ORDER BY abs(score) DESC, opened_at, request_id, node_id, attempt
