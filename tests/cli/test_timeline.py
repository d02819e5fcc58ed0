from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.timeline import Axis, TimingBar, legend, span_us
from recorder.projections.runs import Run
from recorder.projections.steps import Step, StepStatus


def step(
    submitted_us: int | None,
    finished_us: int | None,
    inference_us: int | None = None,
    status: StepStatus = "completed",
) -> Step:
    return Step(
        node_id="a",
        attempt=1,
        first_seq=1,
        status=status,
        submitted_us=submitted_us,
        finished_us=finished_us,
        inference_us=inference_us,
    )


def drawn(renderable: TimingBar | Axis, *, encoding: str = "utf-8", width: int = 20) -> str:
    written = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=written, width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().rstrip("\n")


@pytest.mark.parametrize(
    ("given", "bar"),
    [
        (step(0, 100, 100), "████████████████████"),
        (step(0, 100, 50), "░░░░░░░░░░██████████"),
        (step(50, 100, 50), "          ██████████"),
        (step(50, 75, 0), "          ░░░░░"),
        (step(50, 75), "          ▓▓▓▓▓"),
        (step(50, None, status="unfinished"), "          ╌╌╌╌╌╌╌╌╌╌"),
        (step(None, 75), "               ◆"),
        (step(None, 100), "                   ◆"),
        (step(None, None), ""),
        (step(50, 50, 0), "          █"),
        (step(100, 100), "                   ▓"),
        (step(0, 50, 500), "██████████"),
        (step(0, 500, 500), "████████████████████"),
    ],
)
def test_a_bar_lies_where_the_step_lay_and_is_shaded_by_what_it_did(given: Step, bar: str) -> None:
    assert drawn(TimingBar(given, 100)) == bar


def test_a_terminal_without_unicode_gets_ascii_bars() -> None:
    assert drawn(TimingBar(step(0, 100, 50), 100), encoding="ascii") == "..........##########"
    assert drawn(Axis(2_170_000), encoding="ascii") == "0 ----------- 2.17 s"


def test_the_axis_ends_with_the_runs_duration() -> None:
    assert drawn(Axis(2_170_000)) == "0 ─────────── 2.17 s"


def test_a_run_without_a_duration_is_drawn_to_the_latest_time_it_knows() -> None:
    steps = {("a", 1): step(0, 70), ("b", 1): step(90, None, status="running")}
    assert span_us(Run(request_id="r", steps=steps)) == 90
    assert span_us(Run(request_id="r", steps=steps, duration_us=120)) == 120
    assert span_us(Run(request_id="r")) == 0


def test_the_legend_names_only_the_shades_in_use() -> None:
    told = [step(0, 9, 9), step(None, 9)]
    assert legend(told, ascii_only=False).plain == (
        "  █ inference   ░ waiting and overhead   ◆ finished, start not seen"
    )
    assert legend([step(0, None)], ascii_only=True).plain == "  - did not end"
