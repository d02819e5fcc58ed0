"""Runs measurements: `python -m bench [NAME…] [--rounds N]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from bench import (
    appending,
    comparing,
    decoding,
    delay,
    paging,
    postgres,
    producers,
    proxying,
    questions,
    rebuilding,
    replaying,
    rhythm,
    segments,
    tailing,
    visible,
)
from bench.measure import Result, as_lines

BENCHES: dict[str, Callable[[int], Iterator[Result]]] = {
    "appending": appending.results,
    "producers": producers.results,
    "postgres": postgres.results,
    "visible": visible.results,
    "decoding": decoding.results,
    "delay": delay.results,
    "rebuilding": rebuilding.results,
    "proxying": proxying.results,
    "replaying": replaying.results,
    "paging": paging.results,
    "comparing": comparing.results,
    "rhythm": rhythm.results,
    "tailing": tailing.results,
    "segments": segments.results,
    "questions": questions.results,
}


def main() -> None:
    """Runs what was asked for, and prints as it goes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    if unknown := set(wanted.names) - set(BENCHES):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    for name in wanted.names or BENCHES:
        for result in BENCHES[name](wanted.rounds):
            print("\n".join(as_lines(result)), flush=True)


if __name__ == "__main__":
    main()
