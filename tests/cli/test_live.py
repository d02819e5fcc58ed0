from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.live import Seen, event_text, partial_results
from recorder.events import Completion, Error, Output, Submit, Unrecognised, WireEvent

EVIL = "\x1b[2J[red]a[/red]\n"
URL = b'{"images": [{"url": "https://x/1.png", "width": 8, "height": 9}]}'


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_steps_are_timed_from_their_submit_to_their_end() -> None:
    clock = Clock()
    seen = Seen(clock)
    timed: list[tuple[float, WireEvent]] = [
        (1, Submit("a", "app")),
        (2, Submit("b", "app")),
        (3, Completion("a")),
        (4, Submit("a", "app")),
        (5, Error("b")),
        (6, Completion("never submitted")),
        (7, Error(None)),
        (8, Output()),
        (9, Unrecognised("invalid_json")),
    ]
    for clock.now, event in timed:
        seen.take(event)
    assert [(step.node_id, step.status, step.elapsed_us(10)) for step in seen.steps] == [
        ("a", "completed", 2_000_000),
        ("b", "failed", 3_000_000),
        ("a", "running", 6_000_000),
        ("never submitted", "completed", None),
    ]
    assert seen.elapsed_us() == 9_000_000


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Submit("a", "app"), "submit      a  app"),
        (Submit(), "submit"),
        (Completion("a", output=URL), "completion  a  https://x/1.png  8×9"),
        (Completion("a"), "completion  a"),
        (Output(output=b'{"output": "a text"}'), "output      “a text”"),
        (Output(output=b'{"n": 1}'), 'output      {"n": 1}'),
        (Error("a", message="no"), "error       a  no"),
        (Unrecognised("done_marker"), "unrecognised (done_marker)"),
        (Submit(EVIL, EVIL), "submit      \\x1b[2J[red]a[/red]\\n  \\x1b[2J[red]a[/red]\\n"),
    ],
)
def test_an_event_is_one_harmless_line(event: WireEvent, line: str) -> None:
    assert event_text(event) == line


def test_partial_results_are_shown_as_they_are_and_never_read_as_markup() -> None:
    evil = Completion(EVIL, output=b'{"url": "https://x/[bold]\\u001b[31m"}')
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        for event in (evil, Error(EVIL, message=EVIL), Submit(EVIL)):
            for line in partial_results(event, 80):
                console.print(line)
    name = "\\x1b[2J[red]a[/red]\\n"
    assert capture.get().splitlines() == [
        f"✓ {name}  https://x/[bold]\\x1b[31m",
        f"✗ {name}  {name}",
    ]


def test_dimensions_are_left_out_where_they_would_break_the_address() -> None:
    event = Completion("a", output=URL)
    assert [line.plain for line in partial_results(event, 80)] == ["✓ a  https://x/1.png  8×9"]
    assert [line.plain for line in partial_results(event, 21)] == ["✓ a  https://x/1.png"]


def test_data_uris_are_shown_by_kind_and_size() -> None:
    event = Completion("a", output=b'{"url": "data:image/png;base64,%s"}' % (b"A" * 5_000))
    assert event_text(event) == "completion  a  data: image/png, 5.0 kB"
