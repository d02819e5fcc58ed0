"""Errors, extremes, outputs and cost, by hand."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analytics.prices import Prices, load_prices
from analytics.questions.cost import Cost, CostAnswer
from analytics.questions.extremes import Slowest, Unusual
from analytics.questions.failures import Errors
from analytics.questions.outputs import ImageSizes, Outputs, RepeatedInputs, RepeatedSeeds
from recorder.errors import BadQuery
from tests.analytics.by_hand import T0, Row, ask, columns, run, step
from tests.builders import WORKFLOW

HOUR = timedelta(hours=1)


def failed(request_id: str, **fields: Any) -> Row:
    known: Row = {
        "status": "failed",
        "error_kind": "timeout",
        "error_status": 504,
        "error_message": "late",
    }
    return step(request_id, **(known | fields))


def test_failures_are_told_by_kind_app_and_field() -> None:
    steps = [
        failed("a"),
        failed("a", node_id="b", error_message="later"),
        failed("b", opened_at=T0 + HOUR, error_status=None, error_message="last"),
        failed(
            "c", app_id=None, error_kind="value_error", error_field="body.prompt", opened_at=None
        ),
        step("d"),
        step("d", status="unfinished"),
    ]
    runs = [run("a", status="failed", error_kind="timeout"), run("d"), run("e", status="cancelled")]
    rows = ask(Errors(), runs, steps)
    assert columns(
        rows, "of", "kind", "app", "field", "failures", "share", "share_of_app", "runs"
    ) == [
        ("runs", "timeout", None, None, 1, 1 / 3, None, 1),
        ("steps", "timeout", "fal-ai/app", None, 3, 0.5, 0.6, 2),
        ("steps", "value_error", None, "body.prompt", 1, 1 / 6, 1.0, 1),
    ]
    assert columns(rows[1:], "first_at", "last_at", "request_id", "status", "message") == [
        (T0, T0 + HOUR, "b", None, "last"),
        (None, None, "c", 504, "late"),
    ]
    assert ask(Errors(limit=1), runs, steps) == rows[:1]
    assert ask(Errors(), [run()], [step()]) == ask(Errors()) == []


def test_a_run_that_completed_after_an_error_did_not_fail() -> None:
    runs = [run("a", error_kind="timeout"), run("b", status="interrupted", error_kind="cut")]
    rows = ask(Errors(), runs, [failed("a"), step("a", attempt=2)])
    assert columns(rows, "of", "kind", "failures", "share") == [
        ("runs", "cut", 1, 0.5),
        ("steps", "timeout", 1, 0.5),
    ]


def test_the_slowest_are_told_however_they_ended_with_where_they_are() -> None:
    runs = [
        run("a/b", duration_us=300, status="failed"),
        run("c", duration_us=500),
        run("d", duration_us=None),
    ]
    rows = ask(Slowest(), runs)
    assert columns(rows, "request_id", "status", "duration_us", "node", "link") == [
        ("c", "completed", 500, None, "/api/v1/runs/c"),
        ("a/b", "failed", 300, None, "/api/v1/runs/a%2Fb"),
    ]
    steps = [step("c"), step("d", finished_us=900), step("e", submitted_us=None)]
    rows = ask(Slowest(of="steps", limit=1), steps=steps)
    assert columns(rows, "request_id", "node", "attempt", "duration_us", "overhead_us", "link") == [
        ("d", "a", 1, 900, 840, "/api/v1/runs/d")
    ]
    assert ask(Slowest()) == ask(Slowest(of="steps")) == []


def test_the_unusual_are_scored_by_the_logarithm_within_their_workflow() -> None:
    durations = [90, 95, 100, 100, 105, 110, 100, 96, 104, 100]
    runs = [run(f"run-{n}", duration_us=us) for n, us in enumerate(durations)]
    runs += [run("slow", duration_us=2000), run("fast", duration_us=10)]
    runs += [run("elsewhere", workflow="w", duration_us=9_999), run("zero", duration_us=0)]
    rows = ask(Unusual(), runs)
    assert columns(rows, "request_id", "n") == [("slow", 12), ("fast", 12)]
    # The median is 100, and of the twelve |ln(x/100)| the 6th and 7th are those of 96 and 105.
    spread = (math.log(100 / 96) + math.log(105 / 100)) / 2
    assert rows[0]["score"] == pytest.approx(0.6745 * math.log(20) / spread)
    assert rows[1]["score"] == pytest.approx(-0.6745 * math.log(10) / spread)
    assert rows[0]["typical_us"] == pytest.approx(100)
    assert ask(Unusual(least=13), runs) == []
    assert columns(ask(Unusual(limit=1), runs), "request_id") == [("slow",)]


def test_where_most_took_the_same_time_the_mean_deviation_stands_in() -> None:
    steps = [step(f"run-{n}") for n in range(11)] + [step("slow", finished_us=1000)]
    (row,) = ask(Unusual(of="steps"), steps=steps)
    # the mean of |ln(x/100)| is ln(10)/12
    assert (row["request_id"], row["node"]) == ("slow", "a")
    assert row["score"] == pytest.approx(12 / 1.2533)
    assert ask(Unusual(of="steps"), steps=steps[:-1]) == []


def image(request_id: str = "run", **fields: Any) -> Row:
    known: Row = {"images": 2, "image_width": 1024, "image_height": 512, "seed": "7", "nsfw": 0}
    return step(request_id, **(known | fields))


def test_what_comes_out_of_steps() -> None:
    steps = [
        image(),
        image(images=1, nsfw=1, image_width=512),
        image(nsfw=None, seed=None),
        step(),
        image(status="failed"),
        image(app_id=None, images=0, image_width=None, image_height=None),
    ]
    told = ("app", "steps", "with_images", "images", "sizes", "seeds", "flagged", "flagged_share")
    assert columns(ask(Outputs(by=["app"]), steps=steps), *told) == [
        ("fal-ai/app", 4, 3, 5, 2, 2, 1, 1 / 3),
        (None, 1, 0, 0, 0, 1, 0, None),
    ]
    assert columns(ask(Outputs(by=[]), steps=steps), "steps", "images") == [(5, 5)]
    assert columns(
        ask(ImageSizes(), steps=steps), "width", "height", "steps", "images", "share"
    ) == [
        (1024, 512, 2, 4, 2 / 3),
        (512, 512, 1, 1, 1 / 3),
    ]
    assert ask(Outputs()) == ask(ImageSizes()) == []


def test_what_was_asked_for_again() -> None:
    runs = [
        run("a", input_digest="x", first_position=5),
        run("b", input_digest="x", first_position=9, opened_at=T0 + HOUR, status="failed"),
        run("c", input_digest="y", first_position=1),
        run("d", input_digest="x", first_position=1, workflow="other"),
        run("e"),
        run("f"),
    ]
    assert [tuple(row.values()) for row in ask(RepeatedInputs(), runs)] == [
        (WORKFLOW, "x", 2, 1, T0, T0 + HOUR, "a")
    ]
    steps = [
        image("a", opened_at=T0 + HOUR),
        image("b"),
        image("c", status="failed"),
        image("d", node_id="other"),
        image("e", seed="18446744073709551616"),
    ]
    assert [tuple(row.values()) for row in ask(RepeatedSeeds(), steps=steps)] == [
        (WORKFLOW, "a", "7", 2, T0, T0 + HOUR, "b")
    ]
    assert ask(RepeatedInputs()) == ask(RepeatedSeeds()) == []


def prices(**apps: Any) -> Prices:
    return Prices.model_validate({"currency": "USD", "apps": apps})


@pytest.mark.parametrize(
    ("unit", "cost"),
    [
        ("request", "0.3"),
        ("image", "0.5"),
        ("megapixel", "0.2097152"),
        ("inference_second", "0.000018"),
        ("duration_second", "0.00003"),
    ],
)
def test_a_price_goes_by_its_unit_to_the_last_decimal(unit: str, cost: str) -> None:
    steps = [
        image(),
        image(),
        image(images=1, image_width=1, image_height=0),
        image(status="failed"),
    ]
    (row,) = ask(
        Cost(), steps=steps, prices=prices(**{"fal-ai/app": {"per": unit, "price": "0.1"}})
    )
    assert row == {
        "app": "fal-ai/app",
        "workflow": None,
        "day": None,
        "request_id": None,
        "steps": 3,
        "cost": Decimal(cost),
        "currency": "USD",
        "unpriced_steps": 0,
        "unknown_steps": 0,
    }


def test_nothing_is_guessed_and_nothing_is_silently_free() -> None:
    steps = [
        image("a"),
        image("b", images=None),
        image("b", app_id="unpriced"),
        image("b", app_id=None),
        image("c", app_id="unknown", inference_us=None),
        image("c", app_id="free"),
    ]
    table = prices(
        **{
            "fal-ai/app": {"per": "image", "price": "0.003"},
            "unknown": {"per": "inference_second", "price": 1},
            "free": [{"per": "request", "price": 0}],
        }
    )
    told = ("cost", "steps", "unpriced_steps", "unknown_steps")
    assert columns(ask(Cost(), steps=steps, prices=table), "app", *told) == [
        ("fal-ai/app", Decimal("0.006"), 2, 0, 1),
        ("free", Decimal(0), 1, 0, 0),
        ("unknown", None, 1, 0, 1),
        ("unpriced", None, 1, 1, 0),
        (None, None, 1, 1, 0),
    ]
    assert columns(ask(Cost(by=[]), steps=steps, prices=table), *told) == [
        (Decimal("0.006"), 6, 2, 2)
    ]
    assert columns(ask(Cost(by=["run"]), steps=steps, prices=table), "request_id", *told) == [
        ("a", Decimal("0.006"), 1, 0, 0),
        ("c", Decimal(0), 2, 0, 1),
        ("b", None, 3, 2, 1),
    ]
    assert columns(ask(Cost(), steps=steps), "currency", "cost", "unpriced_steps")[0] == (
        None,
        None,
        2,
    )
    assert ask(Cost(), prices=table) == ask(Cost(by=["run"]), prices=table) == []


def test_the_dearest_runs_come_before_those_without_a_cost() -> None:
    steps = [
        image("unpriced", app_id="other"),
        image("unknown", images=None),
        image("free", images=0),
        image("dear"),
    ]
    table = prices(**{"fal-ai/app": {"per": "image", "price": "0.003"}})

    def told(limit: int) -> list[str]:
        return [
            row["request_id"]
            for row in ask(Cost(by=["run"], limit=limit), steps=steps, prices=table)
        ]

    assert told(4) == ["dear", "free", "unknown", "unpriced"]
    assert [told(limit) for limit in (1, 2, 3)] == [told(4)[:limit] for limit in (1, 2, 3)]


def test_costs_are_told_by_workflow_and_day() -> None:
    steps = [
        image("a"),
        image("b", opened_at=T0 + timedelta(days=1), workflow="w"),
        image("c", opened_at=T0 + timedelta(days=1), workflow="w"),
        image("d", opened_at=None),
    ]
    table = prices(**{"fal-ai/app": {"per": "request", "price": "0.10"}})
    rows = ask(Cost(by=["workflow", "day"]), steps=steps, prices=table)
    assert columns(rows, "workflow", "day", "cost") == [
        ("w", datetime(2026, 11, 24), Decimal("0.2")),
        (WORKFLOW, datetime(2026, 11, 23), Decimal("0.1")),
        (WORKFLOW, None, Decimal("0.1")),
    ]
    runs = ask(Cost(by=["run", "workflow"], limit=3), steps=steps, prices=table)
    assert len(runs) == 3


def test_several_prices_of_an_app_add_up_and_sums_do_not_drift() -> None:
    table = prices(
        **{
            "fal-ai/app": [
                {"per": "request", "price": "0.1"},
                {"per": "image", "price": "0.000000000001"},
            ]
        }
    )
    rows = ask(Cost(), steps=[image(f"run-{n}") for n in range(1_000)], prices=table)
    assert columns(rows, "cost") == [(Decimal("100.000000002"),)]
    answer = CostAnswer.model_validate({"rows": rows, "as_of_position": 1}).model_dump_json()
    assert '"cost":"100.000000002"' in answer


@pytest.mark.parametrize("by", [["app"], ["run"]])
def test_a_step_of_which_any_price_cannot_be_told_is_unknown_once(by: list[Any]) -> None:
    steps = [
        image(images=None),
        image(inference_us=None),
        image(images=None, inference_us=None),
        image(inference_us=1_000_000),
    ]
    table = prices(
        **{
            "fal-ai/app": [
                {"per": "image", "price": "0.1"},
                {"per": "inference_second", "price": "1"},
                {"per": "inference_second", "price": "2"},
            ]
        }
    )
    one_of_each = image()["images"] * Decimal("0.1") + image()["inference_us"] * Decimal("0.000003")
    both = image()["images"] * Decimal("0.1") + 3
    rows = ask(Cost(by=by), steps=steps, prices=table)
    assert columns(rows, "cost", "steps", "unpriced_steps", "unknown_steps") == [
        (one_of_each + both, 4, 0, 3)
    ]


def test_a_price_table_is_read_from_toml_and_json(tmp_path: Path) -> None:
    toml, json = tmp_path / "prices.toml", tmp_path / "prices.json"
    toml.write_text(
        'currency = "EUR"\n[apps."a"]\nper = "image"\nprice = 0.1\n'
        '[[apps."b"]]\nper = "request"\nprice = "2"\n'
    )
    json.write_text(
        '{"currency": "EUR", "apps": {"a": {"per": "image", "price": 0.1}, '
        '"b": [{"per": "request", "price": "2"}]}}'
    )
    assert load_prices(toml) == load_prices(json)
    assert load_prices(toml).apps["a"][0].price == Decimal("0.1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("currency = ", "prices: prices.toml is neither TOML nor JSON: Invalid value"),
        ('currency = "X"', "prices: prices.toml: apps: field required"),
        (
            'currency = "X"\n[apps.a]\nper = "gpu"\nprice = 1',
            "prices: prices.toml: apps.a.0.per: input",
        ),
        (
            'currency = "X"\n[apps.a]\nper = "image"\nprice = -1',
            "prices: prices.toml: apps.a.0.price: input",
        ),
        (
            'currency = "X"\n[apps.a]\nper = "image"\nprice = nan',
            "prices: prices.toml: apps.a.0.price: input",
        ),
    ],
)
def test_a_price_table_that_is_none_says_where(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(BadQuery) as refused:
        load_prices(file)
    assert str(refused.value).startswith(said)


def test_runs_and_apps_are_not_told_apart_at_once() -> None:
    with pytest.raises(BadQuery, match="by: run goes together with workflow and day, not with app"):
        Cost.read({"by": "run,app"})
    with pytest.raises(BadQuery, match="prices: is no JSON"):
        Cost.read({"prices": "{"})
