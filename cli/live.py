"""Showing a run while it goes on: a moving table on a terminal, plain lines elsewhere.

What is shown here is what has been seen so far and when we saw it; the summary that follows comes
from the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli import content, text
from cli.output import err
from cli.render import status, table
from cli.text import plain
from recorder.events import Answer, Completion, Error, Output, Submit, WireEvent

_REFRESH_PER_S: Final = 8


class SeenStep:
    """A step as seen so far; `ended` is None while it runs. Times in seconds of a clock of ours."""

    def __init__(self, node_id: str, app_id: str, started: float | None) -> None:
        self.node_id = node_id
        self.app_id = app_id
        self.started = started
        self.ended: float | None = None
        self.status = "running"

    def elapsed_us(self, now: float) -> int | None:
        """Since its submit, up to its end."""
        if self.started is None:
            return None
        return round(((self.ended if self.ended is not None else now) - self.started) * 1_000_000)


class Seen:
    """The steps seen so far, in the order they came up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self.steps: list[SeenStep] = []

    def take(self, event: WireEvent) -> None:
        """Notes an event."""
        now = self.clock()
        match event:
            case Submit(node_id=node_id, app_id=app_id):
                self.steps.append(SeenStep(node_id or "", app_id or "", now))
            case Completion(node_id=node_id, app_id=app_id):
                self._end(node_id or "", app_id or "", "completed", now)
            case Error(node_id=node_id, app_id=app_id) if node_id is not None:
                self._end(node_id, app_id or "", "failed", now)
            case _:
                pass

    def elapsed_us(self) -> int:
        """Since the request went out."""
        return round((self.clock() - self.began) * 1_000_000)

    def _end(self, node_id: str, app_id: str, how: str, now: float) -> None:
        going = (s for s in self.steps if s.node_id == node_id and s.ended is None)
        step = next(going, None)
        if step is None:
            step = SeenStep(node_id, app_id, None)
            self.steps.append(step)
        step.ended, step.status = now, how


class Reporter(Protocol):
    """Tells of a run's events as they come; a context manager around the run."""

    def __enter__(self) -> Self:
        """Begins to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends showing."""

    def event(self, event: WireEvent) -> None:
        """Tells of an event."""


def reporter(
    workflow: str, *, doing: str = "running", clock: Callable[[], float] = time.monotonic
) -> Reporter:
    """The reporter that suits stderr.

    Args:
        workflow: What the run is of.
        doing: What is done to it.
        clock: Tells the run's time, in seconds.
    """
    console = err()
    seen = Seen(clock)
    if console.is_terminal and not console.is_dumb_terminal:
        return _Moving(console, workflow, seen)
    return _Lines(console, f"{doing} {plain(workflow)}", seen)


class _Lines:
    """One line an event."""

    def __init__(self, console: Console, title: str, seen: Seen) -> None:
        self._console = console
        self._title = title
        self._seen = seen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def event(self, event: WireEvent) -> None:
        if self._title:  # not before there is a run: an error is one line only
            self._say(Text(self._title))
            self._title = ""
        self._seen.take(event)
        self._say(Text(f"+{text.duration(self._seen.elapsed_us())}  {event_text(event)}"))

    def _say(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


class _Moving:
    """A row for each step with its time running, and results above it as they come."""

    def __init__(self, console: Console, workflow: str, seen: Seen) -> None:
        self._console = console
        self._workflow = workflow
        self._seen = seen
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console,
            transient=True,
            refresh_per_second=_REFRESH_PER_S,
            get_renderable=self._view,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def event(self, event: WireEvent) -> None:
        self._seen.take(event)
        for line in partial_results(event, self._console.width):
            self._console.print(line, soft_wrap=True)

    def _view(self) -> RenderableType:
        made = Table.grid(padding=(0, 1))
        self._spinner.update(text=Text(f"{plain(self._workflow)}  {self._elapsed()}"))
        made.add_row(self._spinner)
        if self._seen.steps:
            made.add_row(self._steps())
        return made

    def _elapsed(self) -> str:
        return text.duration(self._seen.elapsed_us() // 100_000 * 100_000)

    def _steps(self) -> Table:
        made = table("state", "node", "app", "elapsed", right=("elapsed",))
        now = self._seen.clock()
        for step in self._seen.steps:
            made.add_row(
                status(step.status),
                Text(plain(step.node_id or "(no node)", 28)),
                Text(plain(step.app_id, 28), style="dim"),
                text.duration(step.elapsed_us(now)),
            )
        return made


def event_text(event: WireEvent) -> str:
    """An event as a line of plain text."""
    node = plain(event.node_id or "")
    match event:
        case Submit():
            return f"submit      {node}  {plain(event.app_id or '')}".rstrip()
        case Completion():
            return "  ".join(["completion  " + node, *content.lines(event.output)]).rstrip()
        case Output():
            return "  ".join(["output    ", *content.lines(event.output)]).rstrip()
        case Error():
            return f"error       {node}  {plain(event.message or '')}".rstrip()
        case Answer():
            return "answer"
        case _:
            return f"unrecognised ({event.anomaly})"


def partial_results(event: WireEvent, width: int) -> list[Text]:
    """What a completion brought, or an error said, for the screen above the moving table."""
    node = plain(event.node_id or "")
    match event:
        case Completion():
            return [
                Text.assemble((f"✓ {node}  ", "green"), line)
                for line in content.lines(event.output, width - len(node) - 4)
            ]
        case Error():
            return [Text(f"✗ {node}  {plain(event.message or 'failed')}", style="red")]
        case _:
            return []
