"""What the questions of the bench come to when somebody writes just that in SQL, for the same files."""

from __future__ import annotations

from typing import Final, NamedTuple

from analytics.prices import Prices
from analytics.question import Question
from analytics.questions.concurrency import Concurrency, Load
from analytics.questions.cost import Cost
from analytics.questions.extremes import Slowest, Unusual
from analytics.questions.failures import Errors
from analytics.questions.heatmap import Heatmap
from analytics.questions.latency import FirstEvent, Latency
from analytics.questions.outputs import ImageSizes, Outputs, RepeatedInputs, RepeatedSeeds
from analytics.questions.paths import CriticalPath, TimeSpent
from analytics.questions.throughput import Throughput

PRICES: Final = Prices.model_validate(
    {"currency": "USD", "apps": {"fal-ai/flux": {"per": "inference_second", "price": "0.00111"}}}
)


class Measured(NamedTuple):
    """A question and its floor; None where SQL has no answer, or none within a minute."""

    name: str
    question: Question
    floor: str | None


_PERCENTILES: Final = "[0.5, 0.9, 0.95, 0.99]"


def _percentiles(by: str, *measures: str, of: str = "steps") -> str:
    told = ", ".join(
        f"count({name}), avg({name}), max({name}), quantile_cont({name}, {_PERCENTILES})"
        for name in measures
    )
    return f"SELECT {by}, {told} FROM {of} WHERE status = 'completed' GROUP BY ALL ORDER BY ALL"


MEASURED: Final = (
    Measured(
        "latency by app",
        Latency.read({"by": "app", "measures": "duration"}),
        _percentiles("app_id", "duration_us"),
    ),
    Measured(
        "latency by app and hour",
        Latency.read({"by": "app", "measures": "duration", "bucket": "hour"}),
        _percentiles("app_id, date_trunc('hour', opened_at)", "duration_us"),
    ),
    Measured(
        "latency, inference and overhead by workflow, node and app",
        Latency.read({}),
        _percentiles("workflow, node_id, app_id", "duration_us", "inference_us", "overhead_us"),
    ),
    Measured(
        "first event by day",
        FirstEvent.read({"bucket": "day"}),
        _percentiles("workflow, date_trunc('day', opened_at)", "first_event_us", of="runs"),
    ),
    Measured(
        "throughput by hour",
        Throughput.read({}),
        "SELECT h, count(*) FILTER (begun), count(*) FILTER (NOT begun) FROM ("
        "SELECT date_trunc('hour', opened_at) AS h, true AS begun FROM runs UNION ALL "
        "SELECT date_trunc('hour', closed_at), false FROM runs WHERE closed_at IS NOT NULL"
        ") GROUP BY h ORDER BY h",
    ),
    Measured(
        "errors",
        Errors.read({}),
        "SELECT error_kind, app_id, error_field, count(*), count(DISTINCT request_id), min(opened_at), "
        "max(opened_at), arg_max(request_id, opened_at), (SELECT count(*) FROM steps) FROM steps "
        "WHERE error_kind IS NOT NULL GROUP BY ALL UNION ALL "
        "SELECT error_kind, NULL, error_field, count(*), count(*), min(opened_at), max(opened_at), "
        "arg_max(request_id, opened_at), (SELECT count(*) FROM runs) FROM runs "
        "WHERE error_kind IS NOT NULL GROUP BY ALL",
    ),
    Measured(
        "heatmap by hour",
        Heatmap.read({}),
        "SELECT date_trunc('hour', opened_at), floor(log10(duration_us) * 5), count(*) FROM steps "
        "WHERE status = 'completed' AND duration_us > 0 GROUP BY ALL ORDER BY ALL",
    ),
    Measured(
        "slowest steps",
        Slowest.read({"of": "steps"}),
        "SELECT request_id, workflow, node_id, attempt, app_id, status, opened_at, duration_us, "
        "inference_us, overhead_us FROM steps ORDER BY duration_us DESC NULLS LAST LIMIT 20",
    ),
    Measured(
        "unusual steps",
        Unusual.read({"of": "steps"}),
        "WITH g AS MATERIALIZED (SELECT workflow, node_id, median(ln(duration_us)) AS m, "
        "mad(ln(duration_us)) AS s FROM steps WHERE status = 'completed' AND duration_us > 0 GROUP BY ALL) "
        "SELECT steps.request_id, workflow, node_id, attempt, app_id, opened_at, duration_us, inference_us, "
        "overhead_us, 0.6745 * (ln(duration_us) - m) / s AS z FROM steps LEFT JOIN g "
        "USING (workflow, node_id) WHERE status = 'completed' AND duration_us > 0 "
        "ORDER BY abs(z) DESC LIMIT 20",
    ),
    Measured(
        "outputs",
        Outputs.read({}),
        "SELECT workflow, node_id, app_id, count(*), count(*) FILTER (images > 0), sum(images), "
        "count(DISTINCT (image_width, image_height)), count(seed), sum(nsfw) FROM steps "
        "WHERE status = 'completed' GROUP BY ALL ORDER BY ALL",
    ),
    Measured(
        "image sizes",
        ImageSizes.read({}),
        "SELECT workflow, node_id, app_id, image_width, image_height, count(*), sum(images) FROM steps "
        "WHERE status = 'completed' AND image_width IS NOT NULL GROUP BY ALL ORDER BY 6 DESC LIMIT 100",
    ),
    Measured(
        "repeated seeds",
        RepeatedSeeds.read({}),
        "SELECT workflow, node_id, seed, count(*) AS n FROM steps WHERE status = 'completed' "
        "AND seed IS NOT NULL GROUP BY ALL HAVING n > 1 ORDER BY n DESC LIMIT 100",
    ),
    Measured(
        "repeated inputs",
        RepeatedInputs.read({}),
        "SELECT workflow, input_digest, count(*) AS n FROM runs WHERE input_digest IS NOT NULL "
        "GROUP BY ALL HAVING n > 1 ORDER BY n DESC LIMIT 100",
    ),
    Measured(
        "cost by app, workflow and day",
        Cost.read({"by": "app,workflow,day"}),
        "SELECT app_id, workflow, date_trunc('day', opened_at), count(*), "
        "sum(inference_us) * 0.00111 / 1000000 FROM steps WHERE status = 'completed' GROUP BY ALL",
    ),
    Measured(
        "cost of the dearest runs",
        Cost.read({"by": "run", "limit": 100}),
        "SELECT request_id, sum(inference_us) * 0.00111 / 1000000 AS c FROM steps "
        "WHERE status = 'completed' AND app_id = 'fal-ai/flux' GROUP BY ALL ORDER BY c DESC LIMIT 100",
    ),
    Measured(
        "time spent, without gaps in SQL",
        TimeSpent.read({}),
        "SELECT workflow, node_id, count(*), sum(duration_us), quantile_cont(duration_us, 0.5), "
        "sum(inference_us), quantile_cont(inference_us, 0.5), sum(overhead_us), "
        "quantile_cont(overhead_us, 0.5) FROM steps WHERE status = 'completed' "
        "AND run_status = 'completed' GROUP BY ALL",
    ),
    Measured("concurrency by hour", Concurrency.read({}), None),
    Measured("latency by load", Load.read({}), None),
    Measured("critical path", CriticalPath.read({}), None),
)
