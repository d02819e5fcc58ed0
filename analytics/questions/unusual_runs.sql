-- Which runs took unusually long or short for their workflow?
--
-- Reads       runs (columns as in analytics/schema.py), times in microseconds.
-- Parameters  $least: workflows of fewer runs are not judged. $score: least absolute score of a row.
--             $limit: most rows.
-- Grain       One row per completed run with a known duration above 0.
-- Method      The modified z-score of Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993):
--             0.6745 * (x - median) / MAD, of the natural logarithm of the duration, since latencies
--             are spread by factors, within the workflow. Beyond 3.5 counts as unusual. MAD is the
--             median of absolute deviations from the median; where it is 0, more than half the runs
--             took the same time, and (x - median) / (1.2533 * mean absolute deviation) stands in.
-- Columns     as slowest_runs.sql, and
--             score        how unusual: above 0 slow, below 0 fast
--             typical_us   the median of its workflow
--             n            how many runs the workflow has
WITH scored AS (
    SELECT runs.*, (ln(duration_us) - middle) / nullif(scale, 0) AS score, middle, n
    FROM runs
    LEFT JOIN usual USING (workflow)
    WHERE status = 'completed' AND duration_us > 0
),
told AS (
    SELECT *
    FROM scored
    WHERE abs(score) >= $score
    ORDER BY abs(score) DESC, opened_at, request_id
    LIMIT $limit
)
SELECT
    request_id,
    workflow,
    status,
    opened_at,
    duration_us,
    '/api/v1/runs/' || url_encode(request_id) AS link,
    score,
    exp(middle) AS typical_us,
    n
FROM told
ORDER BY abs(score) DESC, opened_at, request_id
