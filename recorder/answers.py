"""Answers: how those who wait for an append are told what became of it.

A thread waits on a `concurrent.futures.Future`, a coroutine on a future of its event loop. However many
futures of a loop are answered together, the loop is woken once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterable
from contextlib import suppress

from recorder.store.log import Receipt

Answer = list[Receipt] | Exception
Waiting = concurrent.futures.Future[list[Receipt]] | asyncio.Future[list[Receipt]]


def give(answers: Iterable[tuple[Waiting, Answer]]) -> None:
    """Answers futures, in order; from any thread.

    Whoever has been answered, or does not wait any more, is passed over.
    """
    of_loop: dict[asyncio.AbstractEventLoop, list[tuple[Waiting, Answer]]] = {}
    for waiting, answer in answers:
        if isinstance(waiting, concurrent.futures.Future):
            _give(waiting, answer)
        else:
            of_loop.setdefault(waiting.get_loop(), []).append((waiting, answer))
    for loop, its in of_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_give_all, its)


def _give_all(answers: list[tuple[Waiting, Answer]]) -> None:
    for waiting, answer in answers:
        _give(waiting, answer)


def _give(waiting: Waiting, answer: Answer) -> None:
    if waiting.done():
        return
    if isinstance(answer, Exception):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)
